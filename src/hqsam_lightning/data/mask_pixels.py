"""Decodes mask files, before their values are interpreted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from hqsam_lightning.data.image_files import naming_damage, open_image, read_orientation
from hqsam_lightning.errors import DataError

MASK_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I", "I;16", "I;16B", "I;16L", "I;16N")
MAX_VALUE = 65535

_ALPHA_MODES = ("LA", "PA", "RGBA")
_PALETTE_MODES = ("P", "PA")
_LOSSY_FORMATS = ("JPEG", "MPO")
_GREY_SPREAD = 16  # between the channels of a grey image that was saved as a colour JPEG


@dataclass(frozen=True)
class MaskPixels:
    """A decoded mask file, turned by its EXIF orientation.

    Attributes:
        shown: (H, W) uint8 or uint16, the grey value, or the brightest of a pixel's three channels.
        raw: (H, W) uint8 or uint16, the grey value, or the index of a palette's colour; None where the file has other
            colours than grey and no palette.
        colours: (H, W, 3) uint8 RGB; None where every pixel is grey.
        alpha: (H, W) uint8; None without transparency.
        full: the maximum of the file's depth, 255 or 65535.
        lossy: whether compression changed the values.
    """

    shown: np.ndarray
    raw: np.ndarray | None
    colours: np.ndarray | None
    alpha: np.ndarray | None
    full: int
    lossy: bool


def read_mask_pixels(path: str | Path) -> MaskPixels:
    """Decodes a mask: a bilevel, grey (8- or 16-bit), palette or colour image, with or without transparency.

    Raises:
        DataError: the file cannot be read, is of another mode, holds several pictures, or values beyond 16 bits.
    """
    with open_image(path) as image:
        if image.mode not in MASK_MODES:
            raise DataError(
                f"expected an image of mode {', '.join(MASK_MODES)}; got {image.mode!r} in {path}; "
                "save the mask as 8-bit grey, 0 off the object and 255 on it"
            )
        lossy = image.format in _LOSSY_FORMATS
        with naming_damage(path):
            orientation = read_orientation(image)
            frames = 1 if lossy else getattr(image, "n_frames", 1)
        if frames > 1:
            raise DataError(
                f"expected a mask of one picture, got {frames} frames or pages in {path}; save each as a file of its "
                "own, e.g. x_0.png and x_1.png for the photo x.jpg"
            )
        with naming_damage(path):
            pixels = _decode(image, lossy)
    _refuse_beyond_16_bit(pixels, path)
    return _turned(pixels, orientation)


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns (H, W, ...) pixels from the stored frame to the frame shown by EXIF orientation 1 to 8."""
    if orientation >= 5:  # rows and columns are exchanged
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def levels_of(plane: np.ndarray) -> np.ndarray:
    """The distinct values of a (H, W) plane of uint8 or uint16, in ascending order."""
    size = 256 if plane.dtype == np.uint8 else MAX_VALUE + 1
    return np.flatnonzero(cv2.calcHist([plane], [0], None, [size], [0, size]))


def _decode(image: Image.Image, lossy: bool) -> MaskPixels:
    if image.mode.startswith("I"):
        plane = np.asarray(image)
        return MaskPixels(plane, plane, None, None, MAX_VALUE, lossy)
    transparent = image.mode in _ALPHA_MODES or "transparency" in image.info
    rgba = np.asarray(image.convert("RGBA")) if transparent else None
    alpha = None if rgba is None else rgba[..., 3]
    if image.mode in ("1", "L", "LA"):
        grey = np.asarray(image if image.mode == "L" else image.convert("L"))
        return MaskPixels(grey, grey, None, alpha, 255, lossy)
    rgb = np.asarray(image.convert("RGB")) if rgba is None else rgba[..., :3]
    shown = rgb.max(2)
    is_grey = bool((shown - rgb.min(2)).max() <= (_GREY_SPREAD if lossy else 0))
    raw = shown if is_grey else None
    if image.mode in _PALETTE_MODES:
        indices = np.asarray(image)
        raw = indices if indices.ndim == 2 else indices[..., 0]
    return MaskPixels(shown, raw, None if is_grey else rgb, alpha, 255, lossy)


def _refuse_beyond_16_bit(pixels: MaskPixels, path: str | Path) -> None:
    low, high = int(pixels.shown.min()), int(pixels.shown.max())
    if low < 0 or high > MAX_VALUE:
        raise DataError(
            f"expected mask values of 0 to {MAX_VALUE}, got {low} to {high} in {path}; save the mask as 8-bit grey"
        )


def _turned(pixels: MaskPixels, orientation: int) -> MaskPixels:
    dtype = np.uint8 if pixels.full == 255 else np.uint16
    shown = turn(pixels.shown.astype(dtype, copy=False), orientation)
    raw = shown if pixels.raw is pixels.shown else pixels.raw
    if raw is not None and raw is not shown:
        raw = turn(raw, orientation)
    colours, alpha = (None if plane is None else turn(plane, orientation) for plane in (pixels.colours, pixels.alpha))
    return replace(pixels, shown=shown, raw=raw, colours=colours, alpha=alpha)
