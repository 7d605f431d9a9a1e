"""A torchmetrics class over the mask IoU: the mean over masks, exact across batches and processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torchmetrics import Metric

from hqsam_lightning import float64
from hqsam_lightning.metrics.functional import mask_iou


class MeanMaskIoU(Metric):
    """Mean of the mask IoU over all masks seen; each mask counts once, whatever its size or batch.

    Score at each photo's own size. Both masks empty: 1; one empty: 0.

    Example:
        >>> import torch
        >>> metric = MeanMaskIoU()
        >>> metric.update(torch.ones(4, 4, dtype=torch.bool), torch.ones(4, 4, dtype=torch.bool))
        >>> metric.update(torch.ones(3, 5, dtype=torch.bool), torch.zeros(3, 5, dtype=torch.bool))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    full_state_update = False

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, pred: Tensor, target: Tensor, ignore: Tensor | None = None) -> None:
        """Adds one mask.

        Args:
            pred: (H, W) bool.
            target: as pred.
            ignore: as pred, pixels that are not scored; None where every pixel is.
        """
        self.total += mask_iou(pred[None], target[None], None if ignore is None else ignore[None]).sum()
        self.count += 1

    def compute(self) -> Tensor:
        """Returns the mean as a float64 scalar; raises a ValueError if no process has seen a mask."""
        if self.count == 0:
            raise ValueError(
                f"{type(self).__name__}: expected at least one mask before compute(), got 0; call update()"
            )
        return self.total / self.count.to(self.total.device)

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = "") -> MeanMaskIoU:
        """Moves the metric; its sum stays where it is when the new device has no float64."""
        if fn(torch.zeros(())).device.type in float64.NO_FLOAT64:
            exclude_state = [*exclude_state, "total"]
        return cast(MeanMaskIoU, super()._apply(fn, exclude_state))
