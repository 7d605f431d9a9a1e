"""IoU of masks and of their boundaries, one value a mask; the classes in `segmentation` average them.

Shapes: N masks of H x W pixels. Nothing here waits for the device.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def mask_iou(pred: Tensor, target: Tensor) -> Tensor:
    """Computes the IoU of each pair of masks: 1 where both are empty, 0 where one is.

    Args:
        pred: (N, H, W) bool.
        target: (N, H, W) bool.

    Returns:
        (N,) float64.

    Example:
        >>> pred = torch.tensor([[[True, True, False]]])
        >>> target = torch.tensor([[[False, True, False]]])
        >>> mask_iou(pred, target)
        tensor([0.5000], dtype=torch.float64)
    """
    _check_pair(pred, target)
    intersection = (pred & target).flatten(1).sum(1)
    union = (pred | target).flatten(1).sum(1)
    iou = intersection.double() / union.clamp(min=1)
    return iou.masked_fill(union == 0, 1.0)


def mask_boundary(mask: Tensor, dilation_ratio: float = 0.02) -> Tensor:
    """Finds each mask's inner boundary: its pixels within d of the background, in chessboard distance.

    d = max(1, round(dilation_ratio * diagonal of H x W)); pixels outside the frame are background.

    Args:
        mask: (N, H, W) bool.
        dilation_ratio: the paper's metrics use 0.02, the strict ones 0.01.

    Returns:
        (N, H, W) bool.

    Example:
        >>> mask_boundary(torch.ones(1, 3, 4, dtype=torch.bool)).int()
        tensor([[[1, 1, 1, 1],
                 [1, 0, 0, 1],
                 [1, 1, 1, 1]]], dtype=torch.int32)
    """
    _check_masks("mask", mask)
    check_dilation_ratio(dilation_ratio)
    height, width = mask.shape[-2:]
    radius = max(1, round(dilation_ratio * math.sqrt(height**2 + width**2)))
    padded = F.pad(mask, (radius, radius, radius, radius), value=False)
    eroded = _erode_along(_erode_along(padded, radius, dim=-1), radius, dim=-2)
    return mask & ~eroded


def boundary_iou(pred: Tensor, target: Tensor, dilation_ratio: float = 0.02) -> Tensor:
    """Computes the plain IoU of the two masks' boundaries: the four fine-grained sets' mBIoU is its mean.

    COCO's boundary AP uses min(mask IoU, this) instead.

    Args:
        pred: (N, H, W) bool.
        target: (N, H, W) bool.
        dilation_ratio: see `mask_boundary`.

    Returns:
        (N,) float64; 1 where both masks are empty, 0 where one is.

    Example:
        >>> square = torch.ones(1, 3, 3, dtype=torch.bool)
        >>> ring = mask_boundary(square)
        >>> boundary_iou(square, ring).item(), round(mask_iou(square, ring).item(), 4)
        (1.0, 0.8889)
    """
    _check_pair(pred, target)
    return mask_iou(mask_boundary(pred, dilation_ratio), mask_boundary(target, dilation_ratio))


def check_dilation_ratio(dilation_ratio: float) -> None:
    """Raises a ValueError unless the ratio is a positive finite number."""
    if not 0 < dilation_ratio < math.inf:
        raise ValueError(f"expected dilation_ratio > 0, got {dilation_ratio!r}")


def _erode_along(mask: Tensor, radius: int, dim: int) -> Tensor:
    """Ands every window of 2 * radius + 1 along `dim`, which gets 2 * radius shorter.

    The window up to doubles at each step: about log2(2 * radius) steps.
    """
    window, full = 1, 2 * radius + 1
    while window < full:
        step = min(window, full - window)
        length = mask.shape[dim] - step
        mask = mask.narrow(dim, 0, length) & mask.narrow(dim, step, length)
        window += step
    return mask


def _check_masks(name: str, mask: Tensor) -> None:
    if mask.dtype != torch.bool or mask.ndim != 3:
        raise ValueError(f"expected {name} as an (N, H, W) bool tensor, got shape {tuple(mask.shape)} of {mask.dtype}")


def _check_pair(pred: Tensor, target: Tensor) -> None:
    _check_masks("pred", pred)
    _check_masks("target", target)
    if pred.shape != target.shape:
        raise ValueError(
            f"expected pred and target of one shape, got {tuple(pred.shape)} for pred, {tuple(target.shape)} for target"
        )
