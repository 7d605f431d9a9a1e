"""The weighted F measure, whose errors count by where they are."""

from __future__ import annotations

import math

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from hqsam_lightning.metrics.pairs import score_pairs

KERNEL, SIGMA = 7, 5.0
"""Side and standard deviation, in pixels, of the Gaussian by which errors depend on each other."""
HALF_LIFE = 5.0
"""Distance to the object, in pixels, at which a false positive counts halfway from once to twice."""
EPS = float(np.finfo(np.float64).eps)


def weighted_f(pred: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
    """Computes the weighted F measure, beta 1: 1 where both masks are empty, 0 where one is.

    Errors inside of the object are less where their surroundings are found, and false positives count more the farther
    they are from the object. Margolin, Zelnik-Manor and Tal, "How to Evaluate Foreground Maps?", CVPR 2014.

    Args:
        pred: (N, H, W) bool.
        target: (N, H, W) or (1, H, W) bool.
        ignore: as target, pixels that are background in both masks; None for none.

    Returns:
        (N,) float64, on the CPU.
    """
    return score_pairs(pred, target, ignore, _Truth, lambda mask, truth: truth.score(mask))


class _Truth:
    """What of a true mask serves all of its predictions.

    Args:
        mask: (H, W) bool.
    """

    def __init__(self, mask: np.ndarray) -> None:
        self.mask = mask
        self.is_empty = not mask.any()
        if not self.is_empty:
            distance, nearest = distance_transform_edt(~mask, return_indices=True)
            self.nearest = tuple(nearest)
            self.importance = 2 - np.exp(math.log(0.5) / HALF_LIFE * distance)

    def score(self, pred: np.ndarray) -> float:
        if self.is_empty or not pred.any():
            return float(self.is_empty and not pred.any())
        errors = (pred ^ self.mask).astype(np.float64)
        # off the object, the error at its nearest pixel
        spread = cv2.filter2D(errors[self.nearest], -1, _gaussian(), borderType=cv2.BORDER_CONSTANT)
        errors = np.where(self.mask, np.minimum(errors, spread), errors * self.importance)
        missed, wrong, area = errors[self.mask].sum(), errors[~self.mask].sum(), self.mask.sum()
        recall, precision = 1 - missed / area, (area - missed) / (area - missed + wrong + EPS)
        return float(2 * recall * precision / (recall + precision + EPS))


def _gaussian() -> np.ndarray:
    line = cv2.getGaussianKernel(KERNEL, SIGMA, cv2.CV_64F)
    return line @ line.T
