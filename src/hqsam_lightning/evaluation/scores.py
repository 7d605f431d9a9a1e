"""Scores of every mask for every variant and output, and their means over all, thin and solid objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from hqsam_lightning.evaluation.table import COLUMNS
from hqsam_lightning.metrics import mask_boundary, mask_iou
from hqsam_lightning.shapes import is_thin, thinness
from hqsam_lightning.types import Batch

Row = tuple[str, str]
"""(variant, output): a row of a table; the output is "sam", "hq" or "sum"."""

BASELINE = "sam"
BASELINE_ROW: Row = (BASELINE, "sam")
GROUPS = ("all", "thin", "solid")


@dataclass(frozen=True)
class MaskScores:
    """Scores of one mask.

    Attributes:
        dataset: validation set.
        sample_id: the image.
        mask: index of the mask within its image.
        thinness: of the true mask, see `shapes.thinness`; ignored pixels count as background.
        scores: mask IoU and boundary IoU in [0, 1] of each row.
    """

    dataset: str
    sample_id: str
    mask: int
    thinness: float
    scores: dict[Row, tuple[float, float]]

    @property
    def thin(self) -> bool:
        """Whether the object is thin; else it is solid."""
        return is_thin(self.thinness)

    def belongs_to(self, group: str) -> bool:
        """Whether the mask is in the group "all", "thin" or "solid"."""
        return group == "all" or self.thin == (group == "thin")


@dataclass(frozen=True)
class BestScores:
    """The validation whose weights best.ckpt holds.

    Attributes:
        epoch: counted from 0.
        step: optimiser steps that were taken.
        monitor: what the checkpoint was chosen by.
        score: its value.
        masks: every mask's scores.
    """

    epoch: int
    step: int
    monitor: str
    score: float
    masks: list[MaskScores]


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
        group: "all", "thin" or "solid" objects.
    """

    dataset: str
    variant: str
    output: str
    miou: float
    mbiou: float
    count: int
    group: str = "all"


class ScoreBoard:
    """Collects the scores of every mask of a validation, over all processes.

    Args:
        datasets: names of the validation sets, in the order that results are given in.
        rows: (variant, output) pairs.
        dilation_ratio: of the boundary IoU.
    """

    def __init__(self, datasets: Sequence[str], rows: Sequence[Row], dilation_ratio: float = 0.02) -> None:
        self.datasets = list(datasets)
        self.rows = list(rows)
        self.dilation_ratio = dilation_ratio
        self._masks: list[MaskScores] = []

    def update(self, batch: Batch, logits: Mapping[Row, Tensor]) -> list[MaskScores]:
        """Scores each row's (N, 1, 4h, 4w) logits at each mask's original size, threshold 0, where it is not ignored.

        Returns:
            The scores of the batch's N masks.
        """
        if batch.original_masks is None:
            raise ValueError("expected a batch with original_masks, got a training batch")
        values = torch.stack(
            [
                self._score(row, target, batch.original_ignore_of(row), logits)
                for row, target in enumerate(batch.original_masks)
            ]
        )
        seen: Counter[tuple[str, str]] = Counter()
        scored = []
        for row, pairs in enumerate(values.tolist()):
            sample_id = batch.sample_ids[row]
            prompted = f"{batch.datasets[row]}, {batch.prompt_names[row]}" if batch.prompt_names else ""
            dataset = prompted if prompted in self.datasets else batch.datasets[row]
            scored.append(
                MaskScores(
                    dataset=dataset,
                    sample_id=sample_id,
                    mask=seen[dataset, sample_id],
                    thinness=thinness(batch.original_masks[row].cpu().numpy()),
                    scores={name: (iou, biou) for name, (iou, biou) in zip(self.rows, pairs, strict=True)},
                )
            )
            seen[dataset, sample_id] += 1
        self._masks += scored
        return scored

    def compute(self) -> list[MaskScores]:
        """Scores of all processes' masks, by set, image and mask, and a fresh start; every process must call it."""
        masks = _gather(self._masks)
        self.reset()
        return sorted(masks, key=lambda mask: (self.datasets.index(mask.dataset), mask.sample_id, mask.mask))

    def reset(self) -> None:
        """Forgets what was collected."""
        self._masks = []

    def _score(self, row: int, target: Tensor, ignore: Tensor | None, logits: Mapping[Row, Tensor]) -> Tensor:
        """(rows, 2) float64 IoU and boundary IoU of one mask."""
        truth, ignored = target[None], None if ignore is None else ignore[None]
        boundary = mask_boundary(truth, self.dilation_ratio, ignored)
        pairs = []
        for name in self.rows:
            predicted = to_original_size(logits[name][row], target)[None]
            biou = mask_iou(mask_boundary(predicted, self.dilation_ratio, ignored), boundary)
            pairs.append(torch.cat([mask_iou(predicted, truth, ignored), biou]))
        return torch.stack(pairs)


def shown_output(wanted: str, outputs: Sequence[str]) -> str:
    """Of a variant's outputs the wanted one, or the first where it has no such."""
    return wanted if wanted in outputs else outputs[0]


def summarise(masks: Sequence[MaskScores]) -> list[Score]:
    """Means over the masks of each set, row and group; groups without a mask are left out."""
    scores = []
    for dataset in dict.fromkeys(mask.dataset for mask in masks):
        of_set = [mask for mask in masks if mask.dataset == dataset]
        chosen = {group: [mask for mask in of_set if mask.belongs_to(group)] for group in GROUPS}
        for row in of_set[0].scores:
            for group, members in chosen.items():
                if members:
                    miou, mbiou = np.mean([mask.scores[row] for mask in members], axis=0)
                    scores.append(Score(dataset, *row, float(miou), float(mbiou), len(members), group))
    return scores


def as_table(masks: Sequence[MaskScores], run: str, prompts: Sequence[str]) -> pd.DataFrame:
    """The long table of masks' scores.

    Args:
        masks: as `ScoreBoard.compute` gives them.
        run: its name.
        prompts: names of the prompts, the main ones first, whose sets are called by themselves.
    """
    lines = []
    for mask in masks:
        named = [name for name in prompts[1:] if mask.dataset.endswith(f", {name}")]
        dataset = mask.dataset.removesuffix(f", {named[0]}") if named else mask.dataset
        place = (dataset, mask.sample_id, mask.mask, named[0] if named else prompts[0])
        for row, pair in mask.scores.items():
            for metric, value in zip(("iou", "boundary_iou"), pair, strict=True):
                lines.append((run, *row, *place, metric, value, mask.thinness, mask.sample_id))
    return pd.DataFrame(lines, columns=[*COLUMNS])


def to_original_size(logits: Tensor, mask: Tensor) -> Tensor:
    """(1, 4h, 4w) logits of a stretched image -> (H0, W0) bool mask of the photo's own size."""
    return F.interpolate(logits[None].float(), mask.shape[-2:], mode="bilinear", align_corners=False)[0, 0] > 0


def _gather(masks: list[MaskScores]) -> list[MaskScores]:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return masks
    parts: list[list[MaskScores]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(parts, masks)
    return [mask for part in parts for mask in part]
