"""How thin an object is: the share of its mask that an opening removes; a property of the shape alone."""

from __future__ import annotations

import math

import cv2
import numpy as np

OPENING_RATIO = 0.02
"""Radius of the opening's disc over the image diagonal: 7 px at 256 px, so that bars under 15 px count as thin."""

THIN_ABOVE = 0.2
"""An object is thin when more than this share of its area is removed, otherwise solid.

Wheels, trees, nets, ladders, combs and a body with limbs are above it, blobs and polygons below 0.05.
"""


def thinness(mask: np.ndarray) -> float:
    """Measures the share of a mask's area that a morphological opening by a disc removes.

    What remains is what discs of radius r = max(1, round(0.02 * diagonal of H x W)) that fit into the mask can cover.
    Pixels outside the frame are background. Thin is relative to the photo, not to the object: an object that is small
    in every direction has no room for the disc and counts as thin too.

    Args:
        mask: (H, W) bool.

    Returns:
        From 0 (solid) to 1 (no part is as wide as the disc); 0 for an empty mask.

    Raises:
        ValueError: for another shape or type.

    Example:
        >>> line = np.zeros((64, 64), bool)
        >>> line[30] = True
        >>> thinness(line)
        1.0
    """
    if mask.dtype != np.bool_ or mask.ndim != 2:
        raise ValueError(f"expected mask as an (H, W) bool array, got shape {mask.shape} of {mask.dtype}")
    area = int(mask.sum())
    if not area:
        return 0.0
    radius = max(1, round(OPENING_RATIO * math.hypot(*mask.shape)))
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return 1 - int(opened(mask[y : y + height, x : x + width], radius).sum()) / area


def is_thin(value: float) -> bool:
    """Whether an object of this `thinness` is thin."""
    return value > THIN_ABOVE


def opened(mask: np.ndarray, radius: int) -> np.ndarray:
    """Opens an (H, W) bool mask by the disc of pixels at most `radius` px from its centre, in time linear in H x W.

    By exact Euclidean distances: a pixel is eroded where some background lies within the radius, and what remains
    grows back by the radius.
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    eroded = _distance_to_zero(padded) > radius
    if not eroded.any():
        return np.zeros_like(mask)
    grown = _distance_to_zero((~eroded).astype(np.uint8)) <= radius
    return grown[1:-1, 1:-1]


def _distance_to_zero(image: np.ndarray) -> np.ndarray:
    return cv2.distanceTransform(image, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
