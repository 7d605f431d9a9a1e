"""Recognises files by their first bytes, to report what lies where an image, weights or a checkpoint was expected."""

from __future__ import annotations

from pathlib import Path

CONVERT = "convert it to JPEG or PNG"
COPY_AGAIN = "copy or download it again"
REPLACE = "replace it with the file itself"
UNPACK = "unpack it"

Kind = tuple[str, str]
"""What a file is, with its article, and what to do about it."""

TEXTS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself: git lfs pull"),
    (b"<!doctype html", "an HTML page", REPLACE),
    (b"<html", "an HTML page", REPLACE),
    (b"<svg", "an SVG drawing", REPLACE),
    (b"<?xml", "an XML file", REPLACE),
    (b"<", "an XML or HTML file", REPLACE),
    (b"{", "a JSON file", REPLACE),
    (b"[", "a JSON file", REPLACE),
)
"""Beginnings in lower case, after white space."""

BINARIES: tuple[tuple[bytes, str, str], ...] = (
    (b"%!PS", "an EPS or PostScript file", CONVERT),
    (b"\xc5\xd0\xd3\xc6", "an EPS file", CONVERT),
    (b"%PDF", "a PDF file", CONVERT),
    (b"8BPS", "a Photoshop file", CONVERT),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 file", CONVERT),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 file", CONVERT),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL file", CONVERT),
    (b"\xff\x0a", "a JPEG XL file", CONVERT),
    (b"v/1\x01", "an OpenEXR file", CONVERT),
    (b"qoif", "a QOI file", CONVERT),
    (b"\x93NUMPY", "a NumPy array", "save it as a PNG"),
    (b"PK\x03\x04", "a zip archive", UNPACK),
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"7z\xbc\xaf", "a 7z archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"\xff\xd8\xff", "a damaged JPEG", COPY_AGAIN),
    (b"\x89PNG", "a damaged PNG", COPY_AGAIN),
    (b"GIF8", "a damaged GIF", COPY_AGAIN),
    (b"BM", "a damaged BMP, or a kind of BMP that cannot be read", COPY_AGAIN),
    (b"II*\x00", "a damaged TIFF, or a kind of TIFF that cannot be read", COPY_AGAIN),
    (b"MM\x00*", "a damaged TIFF, or a kind of TIFF that cannot be read", COPY_AGAIN),
)

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")
HEAD = 512


def file_kind(path: Path) -> Kind:
    """Recognises any file."""
    head = _head(path)
    found = _stand_in(head) or _starting_with(head, BINARIES)
    if found:
        return found
    if head[4:8] == b"ftyp":
        return _boxed_kind(head), CONVERT
    if head[:4] == b"RIFF":
        return ("a damaged WebP", COPY_AGAIN) if head[8:12] == b"WEBP" else ("an AVI or WAV file", REPLACE)
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return f"text ({head[:24].decode(errors='replace')!a}...)", REPLACE
    return f"something unknown (first bytes {head[:8].hex(' ')})", REPLACE


def stand_in(path: Path) -> Kind | None:
    """Recognises what a failed download or copy leaves in place of a binary file: a pointer, a web page, nothing."""
    return _stand_in(_head(path))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def _stand_in(head: bytes) -> Kind | None:
    if not head:
        return "an empty file (0 bytes)", COPY_AGAIN
    if not head.strip(b"\0"):
        return "nothing but zero bytes", COPY_AGAIN
    return _starting_with(head.removeprefix(b"\xef\xbb\xbf").lstrip().lower(), TEXTS)


def _starting_with(head: bytes, signatures: tuple[tuple[bytes, str, str], ...]) -> Kind | None:
    return next(((kind, remedy) for signature, kind, remedy in signatures if head.startswith(signature)), None)


def _boxed_kind(head: bytes) -> str:
    """Kind of a file in the ISO base media format, by its brands."""
    brands = {head[start : start + 4] for start in range(8, min(len(head), 64), 4)}
    if brands.intersection(AVIF_BRANDS):
        return "an AVIF image"
    return "a HEIC or HEIF image" if brands.intersection(HEIF_BRANDS) else "a video (MP4 or QuickTime)"
