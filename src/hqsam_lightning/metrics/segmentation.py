"""Torchmetrics classes over the functional metrics: means over masks, exact across batches and processes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torchmetrics import Metric

from hqsam_lightning import float64
from hqsam_lightning.metrics.functional import boundary_iou, check_dilation_ratio, mask_iou


class _MaskMean(Metric):
    """Mean over all masks seen of one value a mask; each mask counts once, whatever its size or batch."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, pred: Tensor, target: Tensor, ignore: Tensor | None = None) -> None:
        """Adds masks of one size; call it once a size.

        Args:
            pred: (N, H, W) or (H, W) bool.
            target: as pred.
            ignore: as pred, pixels that are not scored; None where every pixel is.
        """
        if pred.ndim == target.ndim == 2:
            pred, target = pred[None], target[None]
            ignore = None if ignore is None else ignore[None]
        scores = self._score(pred, target, ignore)
        self.total += scores.sum()
        self.count += scores.numel()

    def compute(self) -> Tensor:
        """Returns the mean as a float64 scalar; raises a ValueError if no process has seen a mask."""
        if self.count == 0:
            raise ValueError(
                f"{type(self).__name__}: expected at least one mask before compute(), got 0; call update()"
            )
        return self.total / self.count.to(self.total.device)

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = "") -> _MaskMean:
        """Moves the metric; its sum stays where it is when the new device has no float64."""
        if fn(torch.zeros(())).device.type in float64.NO_FLOAT64:
            exclude_state = [*exclude_state, "total"]
        return cast(_MaskMean, super()._apply(fn, exclude_state))

    @abstractmethod
    def _score(self, pred: Tensor, target: Tensor, ignore: Tensor | None) -> Tensor:
        """Scores (N, H, W) bool masks as (N,) float64."""


class MeanMaskIoU(_MaskMean):
    """Mean over masks of the mask IoU: mIoU of the four fine-grained sets (average the sets' values for the table's).

    Score at each photo's own size. Both masks empty: 1; one empty: 0.

    Example:
        >>> import torch
        >>> metric = MeanMaskIoU()
        >>> metric.update(torch.ones(2, 4, 4, dtype=torch.bool), torch.ones(2, 4, 4, dtype=torch.bool))
        >>> metric.update(torch.ones(3, 5, dtype=torch.bool), torch.zeros(3, 5, dtype=torch.bool))
        >>> metric.compute()
        tensor(0.6667, dtype=torch.float64)
    """

    def _score(self, pred: Tensor, target: Tensor, ignore: Tensor | None) -> Tensor:
        return mask_iou(pred, target, ignore)


class MeanBoundaryIoU(_MaskMean):
    """Mean over masks of the plain boundary IoU: mBIoU of the four fine-grained sets, not COCO's boundary AP.

    Score at each photo's own size: the boundary's width follows the photo's diagonal.

    Args:
        dilation_ratio: boundary width over the diagonal; 0.02, or 0.01 for the strict score.

    Example:
        >>> import torch
        >>> metric = MeanBoundaryIoU()
        >>> metric.update(torch.ones(1, 6, 6, dtype=torch.bool), torch.ones(1, 6, 6, dtype=torch.bool))
        >>> metric.compute()
        tensor(1., dtype=torch.float64)
    """

    def __init__(self, dilation_ratio: float = 0.02) -> None:
        super().__init__()
        check_dilation_ratio(dilation_ratio)
        self.dilation_ratio = dilation_ratio

    def _score(self, pred: Tensor, target: Tensor, ignore: Tensor | None) -> Tensor:
        return boundary_iou(pred, target, ignore, self.dilation_ratio)
