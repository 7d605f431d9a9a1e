"""Photos and masks from files: every encoding that shows the same picture reads the same."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image

from hqsam_lightning.errors import DataError
from hqsam_lightning.types import OBJECT_THRESHOLD

MAX_PIXELS = 2**28
"""Larger files are refused: photos have 200 megapixels at most, archive bombs have more."""

END_OF_JPEG = b"\xff\xd9"

TAIL = 4096
"""Last bytes of a file that `file_fingerprint` reads."""

PHOTO_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
MASK_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I", "I;16", "I;16B", "I;16L", "I;16N")

# What Pillow raises over a damaged file, by format; its warnings, of size and EXIF data, where warnings are errors.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
    UserWarning,
)

# Pillow warns at 89 megapixels and refuses twice that by default, which a medium-format photo reaches.
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MAX_PIXELS)


def read_image(path: str | Path, longest: int | None = None, exif: bool = True) -> np.ndarray:
    """Reads a photo.

    Args:
        path: an 8-bit photo; grey, palette, CMYK and transparent ones become RGB (transparency is dropped).
        longest: a JPEG is decoded at 1/2, 1/4 or 1/8 of its size where its longest side keeps so many pixels; None
            decodes every pixel.
        exif: whether to turn the photo the way its EXIF orientation says; otherwise the pixels come as stored.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DataError: the file is missing, damaged, or of a mode that has no 8-bit colours.
    """
    with _opened(path) as image:
        _refuse_mode(image, PHOTO_MODES, path, "convert the photo to 8-bit RGB")
        orientation = _orientation(image) if exif else 1
        if longest is not None:
            image.draft(None, _reduced(image.size, longest))
        whole_jpeg = longest is None and image.format == "JPEG" and image.mode == "RGB"
        pixels = _decode_rgb_jpeg(path) if whole_jpeg else None
        if pixels is None:
            pixels = _photo_pixels(image)
    return _turn(pixels, orientation)


def read_mask(path: str | Path) -> np.ndarray:
    """Reads a mask.

    An alpha channel that varies is the mask, one that is constant is ignored. Colours mean object, black means
    background. Grey values 0 and v alone are a hard mask whatever v is; more values are divided by the full range of
    8 or 16 bits, which keeps grey edges.

    Args:
        path: a bilevel, grey (8- or 16-bit), palette or colour image, with or without transparency.

    Returns:
        (H, W) float32 in [0, 1]; an object pixel is one > `OBJECT_THRESHOLD`.

    Raises:
        DataError: the file is missing, damaged, of another mode, or shows no object.
    """
    with _opened(path) as image:
        _refuse_mode(image, MASK_MODES, path, "save the mask as 8-bit grey, 0 off the object and 255 on it")
        image.load()
        pixels = _mask_pixels(image)
        orientation = _orientation(image)
    plane = _turn(_mask_plane(pixels), orientation)
    levels = _levels(plane, path)
    values = _to_unit_range(levels)
    if not (values > OBJECT_THRESHOLD).any():
        raise DataError(
            f"empty mask: expected an object pixel (value > 128 of 255), got values {levels[0]} to {levels[-1]} in "
            f"{path}; mark the object in the mask, or list the photo in data.catalogue.<source>.exclude"
        )
    return _replace(plane, levels, values)


def read_pair(
    image_path: str | Path, mask_path: str | Path, longest: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Reads a photo and its mask, see `read_image` and `read_mask`.

    Args:
        image_path: the photo.
        mask_path: its mask.
        longest: see `read_image`; the mask is averaged to the photo's size. Both come whole where that would lose the
            object.

    Returns:
        (H, W, 3) uint8 RGB and (H, W) float32 in [0, 1].

    Raises:
        DataError: one of them cannot be read, or their sizes differ.
    """
    image, mask = read_image(image_path, longest), read_mask(mask_path)
    whole_size = image.shape[:2] if longest is None else image_size(image_path)
    if whole_size != mask.shape:
        raise DataError(size_mismatch(image_path, whole_size, mask_path, mask.shape))
    if image.shape[:2] == mask.shape:
        return image, mask
    averaged = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_AREA)
    return (image, averaged) if (averaged > OBJECT_THRESHOLD).any() else read_pair(image_path, mask_path)


def size_mismatch(
    image_path: str | Path, image_hw: tuple[int, ...], mask_path: str | Path, mask_hw: tuple[int, ...]
) -> str:
    """Says that a mask is not of its photo's size; sizes are (H, W) after EXIF orientation."""
    return (
        f"expected a mask of its photo's size, got width x height {image_hw[1]}x{image_hw[0]} in {image_path} "
        f"and {mask_hw[1]}x{mask_hw[0]} in {mask_path} (EXIF orientation applied); "
        "make the mask anew from the photo as it is shown"
    )


def image_size(path: str | Path) -> tuple[int, int]:
    """Reads the size of a photo or mask from its header alone.

    Returns:
        (H, W) after EXIF orientation.

    Raises:
        DataError: the file is missing, or its header is damaged.
    """
    height, width, orientation = image_frame(path)
    return (width, height) if orientation >= 5 else (height, width)


def image_frame(path: str | Path) -> tuple[int, int, int]:
    """Reads how a photo is stored and shown from its header alone.

    Returns:
        Height and width of the stored pixels, and the EXIF orientation, 1 to 8. A TIFF file is turned by whatever
        decodes it: its orientation is 1, its size that of the turned photo.

    Raises:
        DataError: the file is missing, or its header is damaged.
    """
    with _opened(path) as image:
        return image.height, image.width, _orientation(image)


def file_fingerprint(path: str | Path) -> str:
    """Tells a file from its former self by its size and last bytes, where PNG keeps checksums of all it holds.

    Raises:
        DataError: the file is missing.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            tail = file.read()
    except OSError as error:
        raise DataError(f"expected a file, cannot read {path}: {error}; copy it there") from error
    return f"{size}:{hashlib.blake2b(tail, digest_size=8).hexdigest()}"


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """Opens an image file; whatever Pillow raises until it is closed becomes a `DataError`."""
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"expected at most {MAX_PIXELS} pixels, got {image.width}x{image.height} in {path}; "
                    "scale the photo and its mask down"
                )
            yield image
    except FileNotFoundError as error:
        raise DataError(f"expected an image file, found nothing at {path}; copy it there") from error
    except _DAMAGE as error:
        reason = "the file is empty (0 bytes)" if _is_empty(path) else f"{type(error).__name__}: {error}"
        raise DataError(
            f"expected a whole image file, cannot read {path}: {reason}; "
            "copy or download it again, or remove the photo and its mask"
        ) from error


def _is_empty(path: str | Path) -> bool:
    return Path(path).is_file() and Path(path).stat().st_size == 0


def _refuse_mode(image: Image.Image, modes: tuple[str, ...], path: str | Path, remedy: str) -> None:
    if image.mode not in modes:
        raise DataError(f"expected an image of mode {', '.join(modes)}; got {image.mode!r} in {path}; {remedy}")


def _reduced(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(width, height) of an image whose longest side is `longest`, or less where the image is smaller."""
    wanted = min(longest, max(size))
    return max(1, size[0] * wanted // max(size)), max(1, size[1] * wanted // max(size))


def _decode_rgb_jpeg(path: str | Path) -> np.ndarray | None:
    """Decodes without the copies in which pixels leave Pillow; None where Pillow has to say what is wrong.

    OpenCV has the same libjpeg-turbo, but fills up a file that was cut off.
    """
    data = np.fromfile(path, np.uint8)
    if data[-2:].tobytes() != END_OF_JPEG:
        return None
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)


def _photo_pixels(image: Image.Image) -> np.ndarray:
    """Decodes to (H, W, 3) RGB."""
    image.load()
    if "transparency" in image.info:
        return np.asarray(image.convert("RGBA").convert("RGB"))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _orientation(image: Image.Image) -> int:
    """Reads the EXIF orientation, 1 to 8; damaged EXIF data count as none."""
    if image.format == "TIFF":  # Pillow turns these itself, and gives their turned size from the start
        return 1
    try:
        # PngImageFile overrides getexif with one that decodes the whole file when the header has no EXIF
        orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return 1
    return orientation if orientation in range(1, 9) else 1


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns (H, W, ...) pixels from the stored frame to the one that EXIF orientation 1 to 8 says to show."""
    if orientation >= 5:  # rows and columns are exchanged
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _mask_pixels(image: Image.Image) -> np.ndarray:
    """Decodes a mask to (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA."""
    if image.mode.startswith("I"):
        return np.asarray(image)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        return np.asarray(image.convert("RGBA"))
    if image.mode == "L":
        return np.asarray(image)
    return np.asarray(image.convert("L" if image.mode == "1" else "RGB"))


def _mask_plane(pixels: np.ndarray) -> np.ndarray:
    """Finds the (H, W) plane of grey, RGB or RGBA pixels that shows the mask."""
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] == 4 and pixels[..., 3].min() != pixels[..., 3].max():
        return pixels[..., 3]
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return red
    return ((red | green | blue) > 0).view(np.uint8)


def _levels(plane: np.ndarray, path: str | Path) -> np.ndarray:
    """Finds the values that occur in a (H, W) plane, in ascending order."""
    if plane.dtype != np.uint8:
        low, high = int(plane.min()), int(plane.max())
        if low < 0 or high > 65535:
            raise DataError(
                f"expected mask values of 0 to 65535, got {low} to {high} in {path}; save the mask as 8-bit grey"
            )
        return np.flatnonzero(np.bincount(plane.ravel()))
    return np.flatnonzero(cv2.calcHist([plane], [0], None, [256], [0, 256]))


def _to_unit_range(levels: np.ndarray) -> np.ndarray:
    """Scales the values that occur in a mask to float32 in [0, 1]."""
    high = levels[-1]
    if np.isin(levels, (0, high)).all():
        return (levels > 0).astype(np.float32)
    return levels.astype(np.float32) / np.float32(65535 if high > 255 else 255)


def _replace(plane: np.ndarray, levels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Puts a float32 value in the place of each of the levels of a (H, W) plane."""
    table = np.zeros(256 if plane.dtype == np.uint8 else levels[-1] + 1, np.float32)
    table[levels] = values
    return cv2.LUT(plane, table) if plane.dtype == np.uint8 else table[plane]
