"""Human correction effort (HCE): how many points a person would have to click to correct a mask."""

from __future__ import annotations

import cv2
import numpy as np
from skimage.morphology import skeletonize
from torch import Tensor

from hqsam_lightning.metrics.pairs import score_pairs

RELAXED = 5
"""Errors within this many erosions of the masks' union are no effort."""
TOLERANCE = 2.0
"""Distance, in pixels, within which a polygon of the points follows the border of an error."""

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def human_correction_effort(pred: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
    """Counts the points and the areas that a person would click to correct each mask; 0 is best.

    The border of an error with what is right is corrected by the points of a polygon, an error without such a border by
    one click. Errors that are thinner than about 5 px along a border are forgiven, unless they break the skeleton of
    the object. Qin et al., "Highly Accurate Dichotomous Image Segmentation", ECCV 2022.

    Args:
        pred: (N, H, W) bool.
        target: (N, H, W) or (1, H, W) bool.
        ignore: as target, pixels that are background in both masks; None for none.

    Returns:
        (N,) float64, on the CPU.
    """
    return score_pairs(pred, target, ignore, lambda mask: (mask, skeletonize(mask)), _effort)


def _effort(pred: np.ndarray, truth: tuple[np.ndarray, np.ndarray]) -> int:
    """Effort of one (H, W) bool mask; the truth is the true one and its skeleton."""
    target, skeleton = truth
    right = pred & target
    core = cv2.erode((pred | target).astype(np.uint8), _CROSS, iterations=RELAXED) > 0
    wrong = _relaxed(pred & ~target, core, ~target)
    missed = _relaxed(target & ~pred, core, ~pred) | (skeleton & ~right)
    return _clicks(wrong, right | missed) + _clicks(missed, ~(right | wrong | missed))


def _relaxed(errors: np.ndarray, core: np.ndarray, room: np.ndarray) -> np.ndarray:
    """The errors that reach into the core of the union, and what is near to them in the room that they may be in."""
    grown = errors & core
    for _ in range(RELAXED):
        grown = (cv2.dilate(grown.astype(np.uint8), _CROSS) > 0) & room
    return errors & grown


def _clicks(errors: np.ndarray, others: np.ndarray) -> int:
    """Points of polygons along the errors' borders with the others, and areas of errors without such a border."""
    plane = errors.astype(np.uint8)
    contours, _ = cv2.findContours(plane, cv2.RETR_TREE, cv2.CHAIN_APPROX_NONE)
    count, areas = cv2.connectedComponents(plane, connectivity=8)
    if not contours:
        return 0
    points = np.concatenate(contours)[:, 0]
    near = cv2.dilate(others.astype(np.uint8), _CROSS) > 0
    # a pixel that contours pass more than once counts the first time
    is_first = np.zeros(len(points), bool)
    is_first[np.unique(points[:, 1] * errors.shape[1] + points[:, 0], return_index=True)[1]] = True
    kept = is_first & near[points[:, 1], points[:, 0]]
    bordering = np.unique(areas[points[kept, 1], points[kept, 0]])
    ends = np.cumsum([len(contour) for contour in contours])[:-1]
    parts = zip(np.split(points, ends), np.split(kept, ends), strict=True)
    lines = [line for part, keep in parts for line in _lines(part, keep)]
    polygons = [cv2.approxPolyDP(np.ascontiguousarray(line[:, None]), TOLERANCE, False) for line in lines]
    return sum(map(len, polygons)) + count - 1 - len(bordering)


def _lines(points: np.ndarray, kept: np.ndarray) -> list[np.ndarray]:
    """Runs of kept points along a contour; the last one and the first one, turned round, are one where they meet."""
    changes = np.flatnonzero(np.diff(kept.astype(np.int8), prepend=0, append=0))
    runs = [points[start:end] for start, end in zip(changes[::2], changes[1::2], strict=True)]
    if len(runs) > 1 and abs(runs[0][0] - runs[-1][-1]).max() == 1:
        runs = [*runs[1:-1], np.concatenate([runs[-1], runs[0][::-1]])]
    return runs
