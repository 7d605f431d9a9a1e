"""Scores of every variant and output on every validation set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MetricCollection

from hqsam_lightning.metrics import MeanBoundaryIoU, MeanMaskIoU
from hqsam_lightning.types import Batch


@dataclass(frozen=True)
class Score:
    """One cell of a table.

    Attributes:
        dataset: validation set.
        variant: name of the method.
        output: scored logits: "sam", "hq" or "sum".
        miou: mean mask IoU in [0, 1].
        mbiou: mean boundary IoU in [0, 1].
        count: masks scored, each once over all processes.
    """

    dataset: str
    variant: str
    output: str
    miou: float
    mbiou: float
    count: int


class ScoreBoard(nn.Module):
    """Accumulates mIoU and mBIoU a (set, variant, output); sums over processes when computed.

    Args:
        datasets: names of the validation sets.
        rows: (variant, output) pairs.
        dilation_ratio: of the boundary IoU.
    """

    def __init__(self, datasets: Sequence[str], rows: Sequence[tuple[str, str]], dilation_ratio: float = 0.02) -> None:
        super().__init__()
        self.cells = [(dataset, *row) for dataset in datasets for row in rows]
        self.metrics = nn.ModuleDict({"/".join(cell): _metrics(dilation_ratio) for cell in self.cells})

    def update(self, batch: Batch, variant: str, output: str, logits: Tensor) -> None:
        """Scores (N, 1, 4h, 4w) logits at each mask's original size, threshold 0."""
        if batch.original_masks is None:
            raise ValueError("expected a batch with original_masks, got a training batch")
        for row, (dataset, target) in enumerate(zip(batch.datasets, batch.original_masks, strict=True)):
            predicted = to_original_size(logits[row], target)
            self._cell(dataset, variant, output).update(predicted[None], target[None])

    def compute(self) -> list[Score]:
        """Scores of the cells that any process updated, and a fresh start; every process must call it."""
        scores = []
        for cell in self.cells:
            metrics = self._cell(*cell)
            count = _total(cast(Tensor, metrics["miou"].count))
            if count:
                values = metrics.compute()
                scores.append(Score(*cell, float(values["miou"]), float(values["mbiou"]), count))
            metrics.reset()
        return scores

    def reset(self) -> None:
        """Forgets what was accumulated."""
        for cell in self.cells:
            self._cell(*cell).reset()

    def _cell(self, dataset: str, variant: str, output: str) -> MetricCollection:
        return cast(MetricCollection, self.metrics[f"{dataset}/{variant}/{output}"])


def _metrics(dilation_ratio: float) -> MetricCollection:
    return MetricCollection({"miou": MeanMaskIoU(), "mbiou": MeanBoundaryIoU(dilation_ratio)}, compute_groups=False)


def to_original_size(logits: Tensor, mask: Tensor) -> Tensor:
    """(1, 4h, 4w) logits of a stretched image -> (H0, W0) bool mask of the photo's own size."""
    return F.interpolate(logits[None].float(), mask.shape[-2:], mode="bilinear", align_corners=False)[0, 0] > 0


def _total(count: Tensor) -> int:
    count = count.clone()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(count)
    return int(count)
