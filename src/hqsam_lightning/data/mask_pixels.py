"""Decodes mask files, before their values are interpreted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from hqsam_lightning.data.image_files import naming_damage, open_image, read_orientation
from hqsam_lightning.errors import DataError

MASK_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I", "I;16", "I;16B", "I;16L", "I;16N")
MAX_VALUE = 65535

_GREY_SPREAD = 16  # between the channels of a grey image that was saved as a colour JPEG

Planes = tuple[np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray | None]


@dataclass(frozen=True)
class MaskPixels:
    """A decoded mask file, turned by its EXIF orientation.

    Attributes:
        path: the file.
        lossy: whether compression changed the values.
        shown: (H, W) uint8 or uint16, the grey value, or the brightest of a pixel's three channels.
        indices: (H, W) uint8, the index of each pixel's colour; None without a palette.
        colours: (H, W, 3) uint8 RGB; None where every pixel is grey.
        alpha: (H, W) uint8; None without transparency.
    """

    path: Path
    lossy: bool
    shown: np.ndarray
    indices: np.ndarray | None
    colours: np.ndarray | None
    alpha: np.ndarray | None

    @property
    def raw(self) -> np.ndarray | None:
        """(H, W) values that a config can list: palette indices, or grey values; None where the file has neither."""
        return self.shown if self.indices is None and self.colours is None else self.indices

    @property
    def full(self) -> int:
        """The maximum of the file's depth, 255 or 65535."""
        return int(np.iinfo(self.shown.dtype).max)


def read_mask_pixels(path: Path) -> MaskPixels:
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
        lossy = image.format in ("JPEG", "MPO")
        with naming_damage(path):
            orientation = read_orientation(image)
            frames = 1 if lossy else getattr(image, "n_frames", 1)
        if frames > 1:
            raise DataError(
                f"expected a mask of one picture, got {frames} frames or pages in {path}; save each as a file of its "
                "own, e.g. x_0.png and x_1.png for the photo x.jpg"
            )
        with naming_damage(path):
            shown, *others = _decode(image, lossy)
    low, high = int(shown.min()), int(shown.max())
    if low < 0 or high > MAX_VALUE:
        raise DataError(
            f"expected mask values of 0 to {MAX_VALUE}, got {low} to {high} in {path}; save the mask as 8-bit grey"
        )
    shown = shown.astype(np.uint8 if shown.dtype == np.uint8 else np.uint16, copy=False)
    turned = [None if plane is None else turn(plane, orientation) for plane in others]
    return MaskPixels(path, lossy, turn(shown, orientation), *turned)


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


def _decode(image: Image.Image, lossy: bool) -> Planes:
    """What the file shows, its palette indices, its colours and its alpha channel, see `MaskPixels`."""
    if image.mode.startswith("I"):
        return np.asarray(image), None, None, None
    transparent = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    rgba = np.asarray(image.convert("RGBA")) if transparent else None
    alpha = None if rgba is None else rgba[..., 3]
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L")), None, None, alpha
    rgb = np.asarray(image.convert("RGB")) if rgba is None else rgba[..., :3]
    shown = rgb.max(2)
    is_grey = (shown - rgb.min(2)).max() <= (_GREY_SPREAD if lossy else 0)
    indices = np.asarray(image) if image.mode in ("P", "PA") else None
    if indices is not None and indices.ndim == 3:
        indices = indices[..., 0]
    return shown, indices, None if is_grey else rgb, alpha
