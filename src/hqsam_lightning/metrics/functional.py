"""IoU of masks and of their boundaries, one value per prediction.

Shapes: N predictions of H x W pixels; a target or ignored pixels of 1 x H x W are those of all N. Nothing here waits
for the device, unless it has no float64. An ignored pixel is neither object nor background: no value depends on what a
mask holds there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hqsam_lightning.checks import number, require
from hqsam_lightning.float64 import where_float64
from hqsam_lightning.metrics import bits

DILATION = number(0, 0.5, above=True)
"""Ratios that leave a boundary: from half of the diagonal on it is the whole mask."""


def mask_iou(pred: Tensor, target: Tensor, ignore: Tensor | None = None) -> Tensor:
    """Computes the IoU of each pair of masks: 1 where both are empty, 0 where one is.

    Args:
        pred: (N, H, W) bool.
        target: (N, H, W) or (1, H, W) bool.
        ignore: as target, pixels taken out of both masks; None for none.

    Returns:
        (N,) float64.

    Example:
        >>> pred = torch.tensor([[[True, True, False]]])
        >>> target = torch.tensor([[[False, True, False]]])
        >>> mask_iou(pred, target)
        tensor([0.5000], dtype=torch.float64)
    """
    check_pair(pred, target, ignore)
    if ignore is not None:
        pred, target = pred & ~ignore, target & ~ignore
    return _iou(bits.pack(pred), bits.pack(target))


def mask_boundary(mask: Tensor, dilation_ratio: float = 0.02, ignore: Tensor | None = None) -> Tensor:
    """Finds each mask's inner boundary: its pixels within d of the background, in chessboard distance.

    d = max(1, round(dilation_ratio * diagonal of H x W)); pixels outside the frame are background. An ignored pixel is
    in no boundary, and being near one puts no pixel into a boundary.

    Args:
        mask: (N, H, W) bool.
        dilation_ratio: the paper's metrics use 0.02, the strict ones 0.01.
        ignore: (N, H, W) or (1, H, W) bool; None for none.

    Returns:
        (N, H, W) bool.

    Example:
        >>> mask_boundary(torch.ones(1, 3, 4, dtype=torch.bool)).int()
        tensor([[[1, 1, 1, 1],
                 [1, 0, 0, 1],
                 [1, 1, 1, 1]]], dtype=torch.int32)
    """
    _check_masks("mask", mask)
    _check_ignore(ignore, mask)
    check_dilation_ratio(dilation_ratio)
    return bits.unpack(_boundary(mask, dilation_ratio, ignore), mask.shape[-1])


def boundary_iou(pred: Tensor, target: Tensor, ignore: Tensor | None = None, dilation_ratio: float = 0.02) -> Tensor:
    """Computes the plain IoU of the two masks' boundaries: the four fine-grained sets' mBIoU is its mean.

    COCO's boundary AP uses min(mask IoU, this) instead.

    Args:
        pred: (N, H, W) bool.
        target: (N, H, W) or (1, H, W) bool.
        ignore: see `mask_boundary`.
        dilation_ratio: see `mask_boundary`.

    Returns:
        (N,) float64; 1 where both boundaries are empty, 0 where one is.

    Example:
        >>> square = torch.ones(1, 3, 3, dtype=torch.bool)
        >>> ring = mask_boundary(square)
        >>> boundary_iou(square, ring).item(), round(mask_iou(square, ring).item(), 4)
        (1.0, 0.8889)
    """
    check_pair(pred, target, ignore)
    check_dilation_ratio(dilation_ratio)
    return _iou(_boundary(pred, dilation_ratio, ignore), _boundary(target, dilation_ratio, ignore))


def check_dilation_ratio(dilation_ratio: float) -> None:
    """Raises a `ConfigError`, which is a ValueError, unless the ratio is in (0, 0.5]."""
    require("dilation_ratio", dilation_ratio, DILATION)


def _boundary(mask: Tensor, dilation_ratio: float, ignore: Tensor | None) -> Tensor:
    """Packed boundary of (N, H, W) bool."""
    height, width = mask.shape[-2:]
    radius = max(1, round(dilation_ratio * math.sqrt(height**2 + width**2)))
    words = bits.pack(mask if ignore is None else mask & ~ignore)
    if 2 * radius >= min(height, width):
        return words
    # pixels that do not count as background: what is ignored bounds no object
    solid = words if ignore is None else bits.pack(mask | ignore)
    return words & ~bits.erode(solid, radius)


def _iou(one: Tensor, other: Tensor) -> Tensor:
    """IoU of packed masks, (N,) float64."""
    union, common = (where_float64(bits.count(words)) for words in (one | other, one & other))
    iou = common.double() / union.clamp(min=1)
    return iou.masked_fill(union == 0, 1.0)


def check_pair(pred: Tensor, target: Tensor, ignore: Tensor | None) -> None:
    """Raises a ValueError unless these are masks of one size, and of one number where a target is not that of all."""
    _check_masks("pred", pred)
    _check_masks("target", target)
    _check_ignore(ignore, target if len(target) > 1 else pred)
    if not _fits(target, pred):
        raise ValueError(
            f"expected pred and target of one shape, got {tuple(pred.shape)} for pred, {tuple(target.shape)} for target"
        )


def _check_masks(name: str, mask: Tensor) -> None:
    if mask.dtype != torch.bool or mask.ndim != 3:
        raise ValueError(f"expected {name} as an (N, H, W) bool tensor, got shape {tuple(mask.shape)} of {mask.dtype}")


def _check_ignore(ignore: Tensor | None, mask: Tensor) -> None:
    if ignore is not None:
        _check_masks("ignore", ignore)
        if not _fits(ignore, mask):
            raise ValueError(f"expected ignore of the masks' shape {tuple(mask.shape)}, got {tuple(ignore.shape)}")


def _fits(one_or_many: Tensor, masks: Tensor) -> bool:
    return one_or_many.shape in (masks.shape, (1, *masks.shape[1:]))
