"""Measures of salient object detection and dichotomous segmentation (DIS) that follow from counts of pixels.

The measures were made for maps of grey values, of which they take the best or the mean over thresholds. A mask is the
same at every threshold, so that the greatest, mean and adaptive F and E measure of a mask are one value.

Shapes: N predictions of H x W pixels; a target or ignored pixels of 1 x H x W are those of all N. Ignored pixels are
background in both masks, and no pixels of the image where a share of it is meant.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hqsam_lightning.float64 import where_float64
from hqsam_lightning.metrics.functional import check_pair

F_BETA_SQUARED = 0.3
"""Weight of the precision, as in the papers on these measures."""
S_ALPHA = 0.5
"""Weight of the object-aware part of the S measure."""
EPS = torch.finfo(torch.float64).eps


def mean_absolute_error(pred: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
    """Computes the share of pixels on which each pair of masks differs: MAE, M.

    Args:
        pred: (N, H, W) bool.
        target: (N, H, W) or (1, H, W) bool.
        ignore: as target; None for none.

    Returns:
        (N,) float64.

    Example:
        >>> mean_absolute_error(torch.tensor([[[True, True]]]), torch.tensor([[[True, False]]]))
        tensor([0.5000], dtype=torch.float64)
    """
    pred, target, size = _scored(pred, target, ignore)
    return _count(pred ^ target) / size.clamp(min=1)


def f_measure(pred: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
    """Computes the F measure with beta squared 0.3, of masks also the maximum F measure: 1 where both are empty.

    Achanta et al., "Frequency-tuned Salient Region Detection", CVPR 2009.

    Args:
        pred: (N, H, W) bool.
        target: (N, H, W) or (1, H, W) bool.
        ignore: as target; None for none.

    Returns:
        (N,) float64.

    Example:
        >>> f_measure(torch.tensor([[[True, True]]]), torch.tensor([[[True, False]]]))
        tensor([0.5652], dtype=torch.float64)
    """
    pred, target, _ = _scored(pred, target, ignore)
    found, true, common = _count(pred), _count(target), _count(pred & target)
    # (1 + b) P R / (b P + R) with P = common / found and R = common / true
    score = (1 + F_BETA_SQUARED) * common / (F_BETA_SQUARED * true + found).clamp(min=EPS)
    return score.masked_fill(found + true == 0, 1.0)


def e_measure(pred: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
    """Computes the E measure: the mean over pixels of (1 + alignment)^2 / 4 of the masks, less their means.

    Fan et al., "Enhanced-alignment Measure for Binary Foreground Map Evaluation", IJCAI 2018. Their code divides by one
    pixel less than there are, which takes equal masks above 1; this divides by their number.

    Args:
        pred: (N, H, W) bool.
        target: (N, H, W) or (1, H, W) bool.
        ignore: as target; None for none.

    Returns:
        (N,) float64 in [0, 1]; where the target is empty or full, the share of pixels on which the masks agree.
    """
    pred, target, size = _scored(pred, target, ignore)
    found, true, common = _count(pred), _count(target), _count(pred & target)
    size = size.clamp(min=1)
    counts = torch.stack([common, found - common, true - common, size - found - true + common])
    mean_found, mean_true = found / size, true / size
    of_pred = torch.stack([1 - mean_found, 1 - mean_found, -mean_found, -mean_found])
    of_target = torch.stack([1 - mean_true, -mean_true, 1 - mean_true, -mean_true])
    alignment = 2 * of_pred * of_target / (of_pred**2 + of_target**2 + EPS)
    aligned = (counts * (1 + alignment) ** 2 / 4).sum(0) / size
    agreement = (counts[0] + counts[3]) / size
    return torch.where((true == 0) | (true == size), agreement, aligned)


def s_measure(pred: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
    """Computes the S measure: the mean of an object-aware and a region-aware similarity of structure.

    Fan et al., "Structure-measure: A New Way to Evaluate Foreground Maps", ICCV 2017.

    Args:
        pred: (N, H, W) bool.
        target: (N, H, W) or (1, H, W) bool.
        ignore: as target; None for none.

    Returns:
        (N,) float64 in [0, 1]; where the target is empty or full, the share of pixels on which the masks agree.
    """
    pred, target, _ = _scored(pred, target, ignore)
    targets = target.expand_as(pred)
    return torch.stack([_structure(one, other) for one, other in zip(pred, targets, strict=True)])


def _scored(pred: Tensor, target: Tensor, ignore: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Both masks without the ignored pixels, and the number of the others, (1,) or (N,) float64."""
    check_pair(pred, target, ignore)
    if ignore is None:
        return pred, target, _count(torch.ones_like(target))
    return pred & ~ignore, target & ~ignore, _count(~ignore)


def _count(mask: Tensor) -> Tensor:
    return where_float64(mask.flatten(1).sum(1)).double()


def _structure(pred: Tensor, target: Tensor) -> Tensor:
    """S measure of two masks of (H, W)."""
    height, width = target.shape
    share = where_float64(target.sum()).double() / (height * width)
    if share == 0 or share == 1:
        return 1 - where_float64((pred ^ target).sum()).double() / (height * width)
    objects = share * _of_object(pred[target]) + (1 - share) * _of_object(~pred[~target])
    # rows and columns of the first quarter, which holds the centre of the object
    row, column = (int(where_float64(places).double().mean().round()) + 1 for places in target.nonzero(as_tuple=True))
    regions = torch.zeros_like(objects)
    for rows in (slice(0, row), slice(row, height)):
        for columns in (slice(0, column), slice(column, width)):
            part, true = pred[rows, columns], target[rows, columns]
            if part.numel():
                regions = regions + part.numel() / (height * width) * _similarity(part, true)
    return (S_ALPHA * objects + (1 - S_ALPHA) * regions).clamp(min=0)


def _of_object(hits: Tensor) -> Tensor:
    """Similarity of an area that should be all ones: 2 m / (m^2 + 1 + s), by its mean and standard deviation."""
    count = hits.numel()
    mean = where_float64(hits.sum()).double() / count
    deviation = (mean * (1 - mean) * count / max(count - 1, 1)).sqrt()
    return 2 * mean / (mean**2 + 1 + deviation + EPS)


def _similarity(pred: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (SSIM) of a part of two masks."""
    count = pred.numel()
    x, y, both = (where_float64(mask.sum()).double() / count for mask in (pred, target, pred & target))
    unbiased = count / max(count - 1, 1)
    covariance, variances = unbiased * (both - x * y), unbiased * (x * (1 - x) + y * (1 - y))
    above, below = 4 * x * y * covariance, (x**2 + y**2) * variances
    # areas of one value have no structure: equal if both are
    return torch.where(above != 0, above / (below + EPS), (below == 0).double())
