"""Large-scale jitter, and the one way in which photos and masks are resized."""

from __future__ import annotations

from typing import Any

import albumentations as A
import cv2
import numpy as np

from hqsam_lightning.checks import number, require
from hqsam_lightning.errors import ConfigError

IMAGE_PADDING = 128
GREATEST_SCALE = 32.0
"""Of the jitter: a scaled image of 32 times the frame's side still fits into memory."""


class LargeScaleJitter(A.DualTransform):
    """Scales so that the longest side is a random multiple of the target, crops at random, pads right and bottom.

    As in the released training code: both are resized bilinearly in float32 without antialiasing; the image is
    truncated to uint8 and padded with 128, the mask is padded with 0 and stays soft. A pixel may differ by 1 from the
    released code's where its exact value is next to a whole number. albumentations' own `RandomScale` antialiases
    nothing either but knows no longest-side target, and its crops pad in the middle.

    Args:
        image_size: side of the square output, in pixels.
        min_scale: least multiple of image_size for the longest side.
        max_scale: greatest multiple.

    Raises:
        ConfigError: unless 0 < min_scale <= max_scale <= `GREATEST_SCALE`.
    """

    def __init__(self, image_size: int, min_scale: float = 0.1, max_scale: float = 2.0) -> None:
        super().__init__(p=1.0)
        require("augmentation.min_scale", min_scale, number(0, GREATEST_SCALE, above=True))
        require("augmentation.max_scale", max_scale, number(0, GREATEST_SCALE, above=True))
        if min_scale > max_scale:
            raise ConfigError(
                "augmentation.min_scale, augmentation.max_scale: expected min_scale <= max_scale; "
                f"got {min_scale}, {max_scale}"
            )
        self.image_size = image_size
        self.min_scale = min_scale
        self.max_scale = max_scale

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draws the scaled size (h, w) and the crop's top-left corner (y, x)."""
        longest = max(1, round(self.py_random.uniform(self.min_scale, self.max_scale) * self.image_size))
        scaled = fit_size(params["shape"][:2], longest)
        corner = tuple(self.py_random.randint(0, max(side - self.image_size, 0)) for side in scaled)
        return {"scaled": scaled, "corner": corner}

    def apply(self, img: np.ndarray, scaled: tuple[int, int], corner: tuple[int, int], **params: Any) -> np.ndarray:
        """Transforms the (H0, W0, 3) uint8 image to (image_size, image_size, 3) uint8."""
        frame = np.empty((self.image_size, self.image_size, *img.shape[2:]), np.float32)
        self._place(img.astype(np.float32), frame, scaled, corner, IMAGE_PADDING)
        return frame.astype(np.uint8)

    def apply_to_masks(
        self, masks: np.ndarray, scaled: tuple[int, int], corner: tuple[int, int], **params: Any
    ) -> np.ndarray:
        """Transforms (M, H0, W0) masks to (M, image_size, image_size) float32."""
        frames = np.empty((len(masks), self.image_size, self.image_size), masks.dtype)
        for mask, frame in zip(masks, frames, strict=True):
            self._place(mask, frame, scaled, corner, 0)
        return frames

    def _place(
        self, array: np.ndarray, frame: np.ndarray, scaled: tuple[int, int], corner: tuple[int, int], padding: int
    ) -> None:
        """Resizes into a frame, without a copy where there is nothing to crop."""
        height, width = (min(side, self.image_size) for side in scaled)
        inside, (top, left) = frame[:height, :width], corner
        if scaled == (height, width):
            cv2.resize(array, (width, height), dst=inside, interpolation=cv2.INTER_LINEAR)
        else:
            inside[:] = resize(array, scaled)[top : top + height, left : left + width]
        frame[height:], frame[:height, width:] = padding, padding


def resize(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear without antialiasing, to (h, w); what `F.interpolate(align_corners=False)` gives."""
    return cv2.resize(array, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def fit_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(h, w) scaled so that the longest side is `longest`; no side is under 1."""
    scale = longest / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
