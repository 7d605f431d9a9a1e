"""What a file is whose content is not of the format expected, by its first bytes."""

from __future__ import annotations

from pathlib import Path

_CONVERT = "convert it to JPEG or PNG"
_AGAIN = "copy or download it again, or remove the photo and its mask"
_NO_IMAGE = "replace it with the image itself, or remove the photo and its mask"

_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself: git lfs pull"),
    (b"%!PS", "an EPS or PostScript file", _CONVERT),
    (b"\xc5\xd0\xd3\xc6", "an EPS file", _CONVERT),
    (b"%PDF", "a PDF file", _CONVERT),
    (b"8BPS", "a Photoshop file", _CONVERT),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 file", _CONVERT),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 file", _CONVERT),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL file", _CONVERT),
    (b"\xff\x0a", "a JPEG XL file", _CONVERT),
    (b"v/1\x01", "an OpenEXR file", _CONVERT),
    (b"qoif", "a QOI file", _CONVERT),
    (b"\x93NUMPY", "a NumPy array", "save it as a PNG"),
    (b"PK\x03\x04", "a zip archive", "unpack it"),
    (b"\x1f\x8b", "a gzip archive", "unpack it"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"\xff\xd8\xff", "a damaged JPEG", _AGAIN),
    (b"\x89PNG", "a damaged PNG", _AGAIN),
    (b"GIF8", "a damaged GIF", _AGAIN),
    (b"BM", "a damaged BMP, or a kind of BMP that cannot be read", _AGAIN),
    (b"II*\x00", "a damaged TIFF, or a kind of TIFF that cannot be read", _AGAIN),
    (b"MM\x00*", "a damaged TIFF, or a kind of TIFF that cannot be read", _AGAIN),
)

_MARKUP = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML file"),
    (b"<", "an XML or HTML file"),
    (b"{", "a JSON file"),
    (b"[", "a JSON file"),
)

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_HEAD = 512


def file_kind(path: Path) -> tuple[str, str]:
    """Recognises a file by its first bytes.

    Returns:
        What it is, with its article, and what to do about it.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return "an empty file (0 bytes)", _AGAIN
    for signature, kind, remedy in _SIGNATURES:
        if head.startswith(signature):
            return kind, remedy
    if head[4:8] == b"ftyp":
        return _boxed_kind(head), _CONVERT
    if head[:4] == b"RIFF":
        return ("a damaged WebP", _AGAIN) if head[8:12] == b"WEBP" else ("an AVI or WAV file", _NO_IMAGE)
    if not head.strip(b"\0"):
        return "nothing but zero bytes", _AGAIN
    return _text_kind(head), _NO_IMAGE


def _boxed_kind(head: bytes) -> str:
    """Kind of a file in the ISO base media format, by its brands."""
    brands = {head[start : start + 4] for start in range(8, min(len(head), 64), 4)}
    if brands.intersection(_AVIF_BRANDS):
        return "an AVIF image"
    return "a HEIC or HEIF image" if brands.intersection(_HEIF_BRANDS) else "a video (MP4 or QuickTime)"


def _text_kind(head: bytes) -> str:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for signature, kind in _MARKUP:
        if start.startswith(signature):
            return kind
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return f"text ({head[:24].decode(errors='replace')!a}...)"
    return f"something unknown (first bytes {head[:8].hex(' ')})"
