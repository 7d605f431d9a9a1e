"""Metrics that are computed pair by pair, on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from hqsam_lightning.metrics.functional import check_pair

Prepared = TypeVar("Prepared")


def score_pairs(
    pred: Tensor,
    target: Tensor,
    ignore: Tensor | None,
    prepare: Callable[[np.ndarray], Prepared],
    score: Callable[[np.ndarray, Prepared], float],
) -> Tensor:
    """Scores each pair of masks by a function of arrays.

    Args:
        pred: (N, H, W) bool.
        target: (N, H, W) or (1, H, W) bool.
        ignore: as target, pixels that are background in both masks; None for none.
        prepare: computes of a (H, W) bool target what serves all of its predictions.
        score: of a (H, W) bool prediction and what was prepared of its target.

    Returns:
        (N,) float64, on the CPU.
    """
    check_pair(pred, target, ignore)
    if ignore is not None:
        pred, target = pred & ~ignore, target & ~ignore
    truths = [prepare(mask) for mask in target.cpu().numpy()]
    found = pred.cpu().numpy()
    pairs = zip(found, truths * len(found) if len(truths) == 1 else truths, strict=True)
    return torch.tensor([score(mask, truth) for mask, truth in pairs], dtype=torch.float64)
