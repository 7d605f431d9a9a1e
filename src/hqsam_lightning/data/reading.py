"""Reads photos and masks: every encoding of an image gives the same array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from hqsam_lightning.data.image_files import naming_damage, open_image, read_orientation
from hqsam_lightning.data.mask_pixels import MaskPixels, read_mask_pixels, turn
from hqsam_lightning.data.mask_values import SOFT, MaskValues, ids_of, ignored_of, object_of
from hqsam_lightning.errors import DataError
from hqsam_lightning.types import OBJECT_THRESHOLD

END_OF_JPEG = b"\xff\xd9"

PHOTO_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")

Order = Callable[[int], Sequence[int]]
"""Gives the order in which the masks of a photo are taken, by their number."""


class Frame(NamedTuple):
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
                pixels = _rgb(image)
    return turn(pixels, orientation)


def read_masks(
    paths: Sequence[str | Path], values: MaskValues = SOFT, most: int | None = None, order: Order = range
) -> MasksRead:
    """Reads the masks of a photo: one per file, or one per instance where the values are ids.

    Args:
        paths: files of one size.
        values: what their values mean.
        most: of the masks that show an object, those that come first in the order; None takes all.
        order: of the masks, by their count; used where there are more than `most`.

    Returns:
        The masks in the order of the files and ids.

    Raises:
        DataError: a file is missing, damaged or of another mode; the files differ in size; or no mask shows an object.
    """
    return masks_of([(path, read_mask_pixels(path)) for path in paths], values, most, order)


def masks_of(
    files: Sequence[tuple[str | Path, MaskPixels]], values: MaskValues, most: int | None = None, order: Order = range
) -> MasksRead:
    """Returns the masks of a photo whose mask files were decoded, see `read_masks`.

    Raises:
        DataError: the files differ in size, do not have what the meaning needs, or show no object.
    """
    _refuse_sizes(files)
    found = [(path, pixels, number) for path, pixels in files for number in ids_of(pixels, values, path)]

    def read(index: int) -> np.ndarray:
        path, pixels, number = found[index]
        return object_of(pixels, values, path, number)

    masks, empty = take_objects(len(found), read, most, order)
    if not masks:
        raise DataError(_empty(files, values))
    ignored = [ignored_of(pixels, values, path) for path, pixels in files]
    planes = [each for each in ignored if each is not None]
    return MasksRead(np.stack(masks), np.logical_or.reduce(planes) if planes else None, empty)


def take_objects(
    count: int, read: Callable[[int], np.ndarray], most: int | None, order: Order
) -> tuple[list[np.ndarray], int]:
    """Reads masks until there are enough that show an object.

    Args:
        count: number of masks.
        read: gives a mask by its index.
        most: how many are enough; None: all.
        order: in which the masks are read where there are more than enough.

    Returns:
        The masks with an object by ascending index, and the number of masks read without one.
    """
    taken: dict[int, np.ndarray] = {}
    empty = 0
    for index in range(count) if most is None or count <= most else order(count):
        mask = read(index)
        if mask.max() > OBJECT_THRESHOLD:
            taken[index] = mask
        else:
            empty += 1
        if len(taken) == most:
            break
    return [taken[index] for index in sorted(taken)], empty


def read_pair(
    image_path: str | Path,
    mask_paths: str | Path | Sequence[str | Path],
    values: MaskValues = SOFT,
    most: int | None = None,
    order: Order = range,
) -> tuple[np.ndarray, MasksRead]:
    """Reads a photo and its masks, see `read_image` and `read_masks`.

    Args:
        image_path: the photo.
        mask_paths: its mask or masks.
        values: what the masks' values mean.
        most: see `read_masks`.
        order: see `read_masks`.

    Raises:
        DataError: a file cannot be read, or their sizes differ.
    """
    paths = [mask_paths] if isinstance(mask_paths, str | Path) else mask_paths
    image, read = read_image(image_path), read_masks(paths, values, most, order)
    if image.shape[:2] != read.masks.shape[1:]:
        raise DataError(size_mismatch(image_path, image.shape[:2], paths[0], read.masks.shape[1:]))
    return image, read


def size_mismatch(
    image_path: str | Path, image_hw: tuple[int, ...], mask_path: str | Path, mask_hw: tuple[int, ...]
) -> str:
    """Describes a mask of another size than its photo; sizes are (H, W) after EXIF orientation."""
    return (
        f"expected a mask of its photo's size, got width x height {image_hw[1]}x{image_hw[0]} in {image_path} "
        f"and {mask_hw[1]}x{mask_hw[0]} in {mask_path} (EXIF orientation applied); "
        "make the mask anew from the photo as it is shown"
    )


def image_size(path: str | Path) -> tuple[int, int]:
    """Reads the (H, W) of a photo or mask, after EXIF orientation, from its header alone.

    Raises:
        DataError: the file is missing, of another format, or its header is damaged.
    """
    return image_frame(path).size()


def image_frame(path: str | Path) -> Frame:
    """Reads how a photo is stored and shown from its header alone.

    A TIFF file is turned by whatever decodes it: its orientation is 1, its size that of the turned photo.

    Raises:
        DataError: the file is missing, of another format, or its header is damaged.
    """
    with open_image(path) as image, naming_damage(path):
        return Frame(image.height, image.width, read_orientation(image))


def _decode_rgb_jpeg(path: str | Path) -> np.ndarray | None:
    """Decodes without the copies that Pillow makes; None for a truncated file, which Pillow then reports.

    OpenCV uses the same libjpeg-turbo, but fills up truncated files.
    """
    data = np.fromfile(path, np.uint8)
    if data[-2:].tobytes() != END_OF_JPEG:
        return None
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)


def _rgb(image: Image.Image) -> np.ndarray:
    """(H, W, 3) RGB of a decoded image."""
    if "transparency" in image.info:
        return np.asarray(image.convert("RGBA").convert("RGB"))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _refuse_sizes(files: Sequence[tuple[str | Path, MaskPixels]]) -> None:
    """Refuses masks of one photo that differ in size."""
    (first, pixels), *others = files
    for path, other in others:
        if other.shown.shape != pixels.shown.shape:
            (height, width), (other_height, other_width) = pixels.shown.shape, other.shown.shape
            raise DataError(
                f"expected all masks of a photo of one size, got width x height {width}x{height} in {first} and "
                f"{other_width}x{other_height} in {path}; make the mask anew from the photo as it is shown"
            )


def _empty(files: Sequence[tuple[str | Path, MaskPixels]], values: MaskValues) -> str:
    low = min(int(pixels.shown.min()) for _, pixels in files)
    high = max(int(pixels.shown.max()) for _, pixels in files)
    return (
        f"empty mask: expected an object pixel (mask_values={values}), got values {low} to {high} in "
        f"{', '.join(str(path) for path, _ in files)}; mark the object in the mask, list the photo in "
        "data.catalogue.<source>.exclude, or set data.catalogue.<source>.mask_values"
    )
