"""Outlines of masks: polygons in COCO's format, and boxes."""

from __future__ import annotations

import cv2
import numpy as np
from skimage.measure import approximate_polygon, find_contours

TOLERANCE = 0.3
"""Pixels that a polygon may lie off the outline."""
LEAST_CORNERS = 3


def polygons(mask: np.ndarray) -> list[list[float]]:
    """Outlines of an (H, W) bool mask as polygons [x, y, x, y, ...]; COCO's polygons have no holes."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    part = np.pad(mask[y : y + height, x : x + width], 1).astype(np.uint8)
    found, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(part), found, -1, 1, cv2.FILLED)
    # between the centres of pixels on and off the mask; shifted by the padding, and half a pixel to COCO's corners
    lines = [find[:, ::-1] + (x - 0.5, y - 0.5) for find in find_contours(filled, 0.5)]
    shortened = [approximate_polygon(line, TOLERANCE)[:-1] for line in lines]
    return [corners.ravel().tolist() for corners in shortened if len(corners) >= LEAST_CORNERS]


def bounding_box(mask: np.ndarray) -> list[int]:
    """COCO's [x, y, width, height] of an (H, W) bool mask; zeros where it is empty."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return [x, y, width, height]
