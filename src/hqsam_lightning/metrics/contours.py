"""The boundary F measure: how much of two masks' contours lies within a tolerance of the other's."""

from __future__ import annotations

import math

from torch import Tensor

from hqsam_lightning.float64 import where_float64
from hqsam_lightning.metrics import bits
from hqsam_lightning.metrics.functional import check_dilation_ratio, check_pair


def boundary_f(pred: Tensor, target: Tensor, ignore: Tensor | None = None, dilation_ratio: float = 0.008) -> Tensor:
    """Computes the F measure of each pair's contours, DAVIS's F and, up to its tolerance, the BF score.

    A contour is the pixels whose neighbour to the right, below or both lies on the other side of the mask's edge. The
    precision is the share of the prediction's contour within r = ceil(dilation_ratio * diagonal of H x W) pixels of the
    target's, in Euclidean distance; the recall is the share of the target's contour within r of the prediction's. The
    frame bounds no object, and a contour that takes an ignored pixel to see is none.

    Args:
        pred: (N, H, W) bool.
        target: (N, H, W) or (1, H, W) bool.
        ignore: as target, pixels that are neither object nor background; None for none.
        dilation_ratio: DAVIS uses 0.008, the BF score 0.0075.

    Returns:
        (N,) float64; 1 where neither mask has a contour, 0 where one has.

    Example:
        >>> import torch
        >>> square = torch.zeros(1, 100, 100, dtype=torch.bool)
        >>> square[:, 20:60, 20:60] = True
        >>> boundary_f(square, square.roll(2, -1)).item(), round(boundary_f(square, square.roll(9, -1)).item(), 4)
        (1.0, 0.45)
    """
    check_pair(pred, target, ignore)
    check_dilation_ratio(dilation_ratio)
    height, width = pred.shape[-2:]
    radius = math.ceil(dilation_ratio * math.hypot(height, width))
    known = None if ignore is None else bits.pack(~ignore)
    found, true = (_contour(mask, known) for mask in (pred, target))
    precision = _share(found, bits.dilate(true, radius, width))
    recall = _share(true, bits.dilate(found, radius, width))
    both = precision + recall
    return 2 * precision * recall / both.masked_fill(both == 0, 1.0)


def _contour(mask: Tensor, known: Tensor | None) -> Tensor:
    """Packed contour of (N, H, W) bool; known are the packed pixels that are not ignored."""
    words, (height, width) = bits.pack(mask), mask.shape[-2:]
    contour = words.new_zeros(words.shape)
    for columns, rows in ((1, 0), (0, 1), (1, 1)):
        differs = words ^ bits.shift(words, columns, rows)
        if known is not None:
            differs = differs & known & bits.shift(known, columns, rows)
        # pixels that have this neighbour within the frame
        inside = mask.new_zeros(1, height, width)
        inside[:, : height - rows, : width - columns] = True
        contour = contour | (differs & bits.pack(inside))
    return contour


def _share(contour: Tensor, near: Tensor) -> Tensor:
    """Share of a contour that is near the other one, (N,) float64; 1 of an empty one."""
    whole, within = (where_float64(bits.count(words)).double() for words in (contour, contour & near))
    return (within / whole.clamp(min=1)).masked_fill(whole == 0, 1.0)
