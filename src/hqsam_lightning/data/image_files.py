"""Image files: the formats that are opened, and the errors for other formats and for damaged files."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import cv2
from PIL import ExifTags, Image, UnidentifiedImageError

from hqsam_lightning.data.file_kinds import file_kind
from hqsam_lightning.errors import DataError
from hqsam_lightning.storage.files import UNREADABLE, require_regular_file

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Pillow's names of what is opened, whatever a file's suffix; JPEG includes MPO, which some cameras write."""

TAIL = 4096
"""Last bytes of a file that `file_fingerprint` reads."""

MAX_PIXELS = 2**28
"""Larger files are refused: photos have 200 megapixels at most, archive bombs have more."""

MAX_TEXT = 2**20
"""Bytes of text, after decompression, that are kept of a PNG with more text than Pillow accepts."""

_MAX_INFLATION = 1032
_PNG_SIGNATURE_LENGTH = 8
_DAMAGE: tuple[type[Exception], ...] = (*UNREADABLE, cv2.error, Image.DecompressionBombError, Warning)

# Pillow warns at 89 megapixels and refuses twice that by default, which a medium-format photo reaches.
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MAX_PIXELS)


@contextmanager
def open_image(path: str | Path) -> Iterator[Image.Image]:
    """Opens an image file without decoding its pixels.

    Raises:
        DataError: the file is missing, not a regular file, of a format that is not in `FORMATS`, damaged, or has more
            than `MAX_PIXELS` pixels.
    """
    require_regular_file(Path(path), DataError, "put an image file there")
    with naming_damage(path):
        image = _open(path)
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise DataError(
                f"expected at most {MAX_PIXELS} pixels, got {image.width}x{image.height} in {path}; "
                "scale the photo and its mask down"
            )
        yield image


def load_pixels(image: Image.Image, path: str | Path) -> Image.Image:
    """Decodes the pixels of an image that `open_image` gave.

    Returns:
        The image, or its equal without metadata that Pillow does not accept.

    Raises:
        DataError: the file is damaged.
    """
    with naming_damage(path):
        try:
            image.load()
        except ValueError as error:
            if not _is_about_text(error):
                raise
            image = Image.open(_png_with_less_text(path), formats=FORMATS)
            image.load()
    return image


@contextmanager
def naming_damage(path: str | Path) -> Iterator[None]:
    """Turns what Pillow raises over a damaged file into a `DataError`; to be put around calls of Pillow alone."""
    try:
        yield
    except _DAMAGE as error:
        raise DataError(_describe(path, error)) from error


def read_orientation(image: Image.Image) -> int:
    """Reads the EXIF orientation, 1 to 8; damaged EXIF data count as none.

    Raises:
        Warning: the EXIF data are damaged, and warnings are errors.
    """
    if image.format == "TIFF":  # Pillow turns these itself, and gives their turned size from the start
        return 1
    try:
        # PngImageFile overrides getexif with one that decodes the whole file when the header has no EXIF
        orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return 1
    return orientation if orientation in range(1, 9) else 1


def _describe(path: str | Path, error: Exception) -> str:
    """What is wrong with a file, and what to do."""
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError):
        return f"not enough memory to decode {path}; free some, or scale the photo and its mask down"
    if isinstance(error, Image.DecompressionBombError):
        return f"expected at most {MAX_PIXELS} pixels, got more in {path} ({error}); scale the photo and its mask down"
    if isinstance(error, UnidentifiedImageError):
        kind, remedy = file_kind(Path(path))
        return f"expected an image file of format {', '.join(FORMATS)}, got {kind} in {path}; {remedy}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"expected an image file, cannot read {path}: {reason}; check the disk and the file's permissions"
    return (
        f"expected a whole image file, cannot read {path}: {reason}; "
        "copy or download it again, or remove the photo and its mask"
    )


def _open(path: str | Path) -> Image.Image:
    try:
        return Image.open(path, formats=FORMATS)
    except ValueError as error:
        if not _is_about_text(error):
            raise
    return Image.open(_png_with_less_text(path), formats=FORMATS)


def _is_about_text(error: ValueError) -> bool:
    """Whether Pillow refuses a PNG for the size of its metadata, which says nothing about its pixels."""
    return "MAX_TEXT_CHUNK" in str(error) or "MAX_TEXT_MEMORY" in str(error)


def _png_with_less_text(path: str | Path) -> BytesIO:
    """Copies a PNG, leaving out text and colour profiles that may take more than `MAX_TEXT` bytes together."""
    data = Path(path).read_bytes()
    kept = [data[:_PNG_SIGNATURE_LENGTH]]
    text, start = 0, _PNG_SIGNATURE_LENGTH
    while start + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[start : start + 8])
        end = start + 12 + length
        size = _text_size(kind, data[start + 8 : end - 4])
        if text + size <= MAX_TEXT:
            text += size
            kept.append(data[start:end])
        start = end
    return BytesIO(b"".join(kept))


def _text_size(kind: bytes, content: bytes) -> int:
    """Most bytes that a chunk takes after decompression; 0 for chunks that hold neither text nor a colour profile."""
    if kind not in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
        return 0
    after_keyword = content.partition(b"\0")[2]
    compressed = kind in (b"zTXt", b"iCCP") or (kind == b"iTXt" and after_keyword[:1] == b"\1")
    return len(content) * (_MAX_INFLATION if compressed else 1)


def file_fingerprint(path: str | Path) -> str:
    """Tells a file from its former self by its size and last bytes, where PNG keeps checksums of all it holds.

    Raises:
        DataError: the file is missing, or not a regular file.
    """
    require_regular_file(Path(path), DataError, "put the file there")
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            tail = file.read()
    except OSError as error:
        raise DataError(f"expected a file, cannot read {path}: {error}; copy it there") from error
    return f"{size}:{hashlib.blake2b(tail, digest_size=8).hexdigest()}"
