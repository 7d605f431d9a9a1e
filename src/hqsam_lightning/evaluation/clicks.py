"""Where the next click of an interactive segmentation goes, and how many clicks it took."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np


def next_click(predicted: np.ndarray, target: np.ndarray, clicked: Sequence[tuple[int, int]]) -> tuple[int, int, int]:
    """The middle of the largest error: its pixel that is farthest from what is right, as RITM and SegNext click.

    Between a miss and a wrongly covered region of one depth it is the latter, as theirs.

    Args:
        predicted: (H, W) bool.
        target: (H, W) bool, the true mask.
        clicked: (x, y) of earlier clicks, which are not clicked again.

    Returns:
        (x, y) and the label: 1 where the object was missed, 0 where it was wrongly covered. Where nothing is wrong it
        is the object's deepest pixel that was not clicked.
    """
    free = np.ones(target.shape, bool)
    for x, y in clicked:
        free[y, x] = False
    missed, covered = (_depth(part) * free for part in (target & ~predicted, predicted & ~target))
    if not missed.any() and not covered.any():
        missed = _depth(target) * free
    label = int(missed.max() > covered.max())
    depth = missed if label else covered
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(column), int(row), label


def clicks_needed(ious: Sequence[float], threshold: float) -> int:
    """The number of the first click with an IoU of at least the threshold; that of the last one where none has."""
    return next((number for number, iou in enumerate(ious, 1) if iou >= threshold), len(ious))


def _depth(region: np.ndarray) -> np.ndarray:
    """(H, W) float32 distance of a region's pixels to its outside; that beyond the frame is outside too."""
    padded = np.pad(region.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
