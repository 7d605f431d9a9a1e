"""Reads photos and masks: every encoding of an image gives the same array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np

from hqsam_lightning.data.image_files import naming_damage, open_image, read_orientation
from hqsam_lightning.data.mask_pixels import MaskPixels, turn
from hqsam_lightning.data.mask_values import MaskValues, ids_of, ignored_of, object_of
from hqsam_lightning.errors import DataError
from hqsam_lightning.seeding import derive_rng
from hqsam_lightning.types import OBJECT_THRESHOLD

END_OF_JPEG = b"\xff\xd9"

PHOTO_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")

Item = TypeVar("Item")


class EmptyMaskError(DataError):
    """No mask of a photo shows an object."""


class Header(NamedTuple):
    """How a photo is stored, by its header.

    Attributes:
        height: of the stored pixels.
        width: of the stored pixels.
        orientation: EXIF's, 1 to 8; 1 is shown as stored.
    """

    height: int
    width: int
    orientation: int

    def size(self, exif: bool = True) -> tuple[int, int]:
        """(H, W) of the photo as read, with or without its EXIF orientation."""
        return (self.width, self.height) if exif and self.orientation >= 5 else (self.height, self.width)


class MasksRead(NamedTuple):
    """The masks of one photo.

    Attributes:
        masks: (M, H, W) float32 in [0, 1], M >= 1; an object pixel is one > `OBJECT_THRESHOLD`.
        ignore: (H, W) bool, pixels that are neither object nor background; None where there is none.
        empty: number of masks that were dropped because they show no object.
    """

    masks: np.ndarray
    ignore: np.ndarray | None
    empty: int


def read_image(path: str | Path, exif: bool = True) -> np.ndarray:
    """Reads a photo.

    Args:
        path: an 8-bit photo; grey, palette, CMYK and transparent ones become RGB (transparency is dropped).
        exif: whether to turn the photo by its EXIF orientation; otherwise the pixels are as stored.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DataError: the file is missing, damaged, of another format, or of a mode that has no 8-bit colours.
    """
    with open_image(path) as image:
        if image.mode not in PHOTO_MODES:
            raise DataError(
                f"expected an image of mode {', '.join(PHOTO_MODES)}; got {image.mode!r} in {path}; "
                "convert the photo to 8-bit RGB"
            )
        with naming_damage(path):
            orientation = read_orientation(image) if exif else 1
            pixels = _decode_rgb_jpeg(path) if image.format == "JPEG" and image.mode == "RGB" else None
            if pixels is None:
                plain = image.convert("RGBA") if "transparency" in image.info else image
                pixels = np.asarray(plain.convert("RGB"))
    return turn(pixels, orientation)


def masks_of(files: Sequence[MaskPixels], values: MaskValues, most: int | None = None, photo: str = "") -> MasksRead:
    """Returns the masks of a photo: one per file, or one per instance where the values are ids.

    Args:
        files: decoded mask files.
        values: what their values mean.
        most: maximum number of masks; where there are more, these are drawn at random. None takes all.
        photo: what is drawn depends on this name alone.

    Returns:
        The masks that show an object, in the order of the files and ids.

    Raises:
        EmptyMaskError: they show no object.
        DataError: the files differ in size, or do not have what the meaning needs.
    """
    _refuse_sizes(files)
    found = [(pixels, number) for pixels in files for number in ids_of(pixels, values)]
    masks, empty = take_objects(found, lambda item: object_of(item[0], values, item[1]), most, photo)
    if not masks:
        raise EmptyMaskError(_empty(files, values))
    planes = [ignored for pixels in files if (ignored := ignored_of(pixels, values)) is not None]
    return MasksRead(np.stack(masks), np.logical_or.reduce(planes) if planes else None, empty)


def take_objects(
    items: Sequence[Item], read: Callable[[Item], np.ndarray], most: int | None, photo: str
) -> tuple[list[np.ndarray], int]:
    """Reads the masks of items until there are enough that show an object, see `masks_of`.

    Returns:
        The masks with an object, in the items' order, and the number of masks read without one.
    """
    taken: dict[int, np.ndarray] = {}
    empty = 0
    draws = most is not None and len(items) > most
    for index in derive_rng("masks", photo).permutation(len(items)).tolist() if draws else range(len(items)):
        mask = read(items[index])
        if mask.max() > OBJECT_THRESHOLD:
            taken[index] = mask
        else:
            empty += 1
        if len(taken) == most:
            break
    return [taken[index] for index in sorted(taken)], empty


def size_mismatch(
    image_path: str | Path, image_hw: tuple[int, ...], mask_path: str | Path, mask_hw: tuple[int, ...]
) -> str:
    """Describes a mask of another size than its photo; sizes are (H, W) after EXIF orientation."""
    return (
        f"expected a mask of its photo's size, got width x height {image_hw[1]}x{image_hw[0]} in {image_path} "
        f"and {mask_hw[1]}x{mask_hw[0]} in {mask_path} (EXIF orientation applied); "
        "make the mask anew from the photo as it is shown"
    )


def read_header(path: str | Path) -> Header:
    """Reads how a photo is stored and shown from its header alone.

    Raises:
        DataError: the file is missing, of another format, or its header is damaged.
    """
    with open_image(path) as image, naming_damage(path):
        return Header(image.height, image.width, read_orientation(image))


def _decode_rgb_jpeg(path: str | Path) -> np.ndarray | None:
    """Decodes without the copies that Pillow makes; None for a truncated file, which Pillow then reports.

    OpenCV uses the same libjpeg-turbo, but fills up truncated files.
    """
    data = np.fromfile(path, np.uint8)
    if data[-2:].tobytes() != END_OF_JPEG:
        return None
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)


def _refuse_sizes(files: Sequence[MaskPixels]) -> None:
    """Refuses masks of one photo that differ in size."""
    first, (height, width) = files[0].path, files[0].shown.shape
    for other in files:
        if other.shown.shape != (height, width):
            raise DataError(
                f"expected all masks of a photo of one size, got width x height {width}x{height} in {first} and "
                f"{other.shown.shape[1]}x{other.shown.shape[0]} in {other.path}; make the mask anew from the photo as "
                "it is shown"
            )


def _empty(files: Sequence[MaskPixels], values: MaskValues) -> str:
    low, high = min(int(pixels.shown.min()) for pixels in files), max(int(pixels.shown.max()) for pixels in files)
    return (
        f"empty mask: expected an object pixel (mask_values={values}), got values {low} to {high} in "
        f"{', '.join(str(pixels.path) for pixels in files)}; mark the object in the mask, list the photo in "
        "data.catalogue.<source>.exclude, or set data.catalogue.<source>.mask_values"
    )
