"""Opens image files of a few formats; other formats and damaged files raise errors that name the cause."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

from hqsam_lightning.errors import DataError
from hqsam_lightning.storage.file_kinds import file_kind
from hqsam_lightning.storage.files import UNREADABLE, require_regular_file

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Pillow's names of the formats that are opened, whatever the suffix; JPEG includes MPO, which some cameras write."""

TAIL = 4096
"""Number of last bytes that `file_fingerprint` reads."""

MAX_PIXELS = 2**28
"""Larger images are refused: photos have at most 200 megapixels, decompression bombs more."""

MAX_TEXT = 2**26
"""Bytes of text or colour profile, after decompression, that a PNG may hold."""

_DAMAGE: tuple[type[Exception], ...] = (*UNREADABLE, cv2.error, Image.DecompressionBombError, Warning)

# By default Pillow warns at 89 megapixels and refuses twice that, which a medium-format photo reaches, and refuses PNGs
# with more than 1 MiB of metadata, which say nothing about their pixels.
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MAX_PIXELS)
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = MAX_TEXT


@contextmanager
def open_image(path: str | Path, most_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Opens an image file without decoding its pixels.

    Args:
        path: of the file.
        most_pixels: at most `MAX_PIXELS`.

    Raises:
        DataError: the file is missing, not a regular file, of a format that is not in `FORMATS`, damaged, or has more
            than `most_pixels` pixels.
    """
    require_regular_file(Path(path), DataError, "put an image file there")
    with naming_damage(path):
        image = Image.open(path, formats=FORMATS)
    with image:
        if image.width * image.height > most_pixels:
            raise DataError(
                f"expected at most {most_pixels} pixels, got {image.width}x{image.height} in {path}; "
                "scale the photo and its mask down"
            )
        yield image


@contextmanager
def naming_damage(path: str | Path) -> Iterator[None]:
    """Turns what Pillow raises for a damaged file into a `DataError`; to be put around calls of Pillow only."""
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
    """Describes what is wrong with a file, and what to do."""
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError):
        return f"not enough memory to decode {path}; free some, or scale the photo and its mask down"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"expected at most {MAX_PIXELS} pixels, got more in {path} ({error}); scale the photo and its mask down"
    if "MAX_TEXT" in reason:
        return f"expected at most {MAX_TEXT} bytes of text in {path}: {reason}; save the image without its metadata"
    if isinstance(error, UnidentifiedImageError):
        kind, remedy = file_kind(Path(path))
        expected = f"expected an image file of format {', '.join(FORMATS)}"
        return f"{expected}, got {kind} in {path}; {remedy}, or remove the photo and its mask"
    if isinstance(error, OSError) and error.errno is not None:
        return f"expected an image file, cannot read {path}: {reason}; check the disk and the file's permissions"
    return (
        f"expected a whole image file, cannot read {path}: {reason}; "
        "copy or download it again, or remove the photo and its mask"
    )


def file_fingerprint(path: str | Path) -> str:
    """Fingerprint of a file by its size and last bytes, which detects changes without reading the whole file.

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
