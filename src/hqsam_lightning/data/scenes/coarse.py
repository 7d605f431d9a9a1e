"""Coarse masks, in the manner of SA-1B's automatic ones: thin parts lost or merged, holes filled, borders rounded."""

from __future__ import annotations

import cv2
import numpy as np

from hqsam_lightning.types import OBJECT_THRESHOLD

CLOSE, OPEN, ROUND = 0.07, 0.035, 0.015  # radii as shares of the diagonal of the object's box, at strength 1
LARGEST_HOLE = 0.25  # share of the object's area with its holes; larger holes stay
LARGEST_LOSS = 0.3  # share of the closed mask that the opening may remove; what is thin throughout stays closed
SMALLEST_PART = 0.1  # share of the largest part's area; smaller ones are lost


def coarsen(mask: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Degrades a mask as a coarse annotation would.

    Closing comes first, so that a wheel becomes a disc and a tree its crown; then small holes are filled, an opening
    removes what is still thin, small leftovers go, and the border is smoothed. Opening first would leave a scatter of
    dots that no model can predict. An object that is thin throughout stays as its closing. What lies outside the frame
    counts as object while closing: a narrow gap between an object and the frame's border closes too.

    Args:
        mask: (H, W) float32 in [0, 1] with an object pixel.
        strength: multiplies all radii; 0 only thresholds.

    Returns:
        (H, W) float32 of 0 and 1 with an object pixel.
    """
    binary = (mask > OBJECT_THRESHOLD).astype(np.uint8)
    if strength == 0:
        return binary.astype(np.float32)
    _, _, width, height = cv2.boundingRect(binary)
    reach = strength * float(np.hypot(width, height))
    closed = _fill_holes(_morph(binary, cv2.MORPH_CLOSE, CLOSE * reach))
    opened = _keep_large_parts(_morph(closed, cv2.MORPH_OPEN, OPEN * reach))
    kept = opened if opened.sum() >= (1 - LARGEST_LOSS) * closed.sum() else closed
    smooth = cv2.GaussianBlur(kept.astype(np.float32), (0, 0), max(0.5, ROUND * reach), borderType=cv2.BORDER_REPLICATE)
    rounded = (smooth > 0.5).astype(np.float32)
    return rounded if rounded.any() else kept.astype(np.float32)


def _morph(binary: np.ndarray, operation: int, radius: float) -> np.ndarray:
    side = 2 * round(radius) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.morphologyEx(binary, operation, kernel)


def _fill_holes(binary: np.ndarray) -> np.ndarray:
    """Fills the background's parts that do not touch the frame and are small compared with the object."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(1 - binary, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA]
    is_hole = np.ones(len(areas), bool)
    is_hole[0] = False  # the object itself
    is_hole[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = False
    outline = binary.sum() + areas[is_hole].sum()
    return binary | (is_hole & (areas <= LARGEST_HOLE * outline))[labels].astype(np.uint8)


def _keep_large_parts(binary: np.ndarray) -> np.ndarray:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=8)
    if count <= 2:
        return binary
    areas = stats[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # the background
    return (areas >= SMALLEST_PART * areas.max())[labels].astype(np.uint8)
