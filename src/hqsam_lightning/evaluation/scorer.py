"""Scores predictions of masks by a run's metrics, and gathers them into one table over all processes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from hqsam_lightning.data.framing import Frame
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation.table import BOX_ROW, Row, make_table
from hqsam_lightning.float64 import where_float64
from hqsam_lightning.metrics import Metric
from hqsam_lightning.shapes import thinness
from hqsam_lightning.types import Batch

Line = tuple[Any, ...]
"""The values of the table's columns."""
KEYS = 8
"""How many of them tell a line from others."""


class Scorer:
    """Collects the scores of every mask, over all processes.

    Args:
        metrics: by name.
        datasets: names of the validation sets, in the order that the table has them.
        prompts: names of the prompts that every mask is shown with, the main ones first.
        frame: how images were fitted into the model's frame.
        run: name of the run in the table.
        filled_box: also score the prompt's box, filled, as a prediction: the baseline that any method has to beat. Of
            a mask whose prompt has none it is the box around the true mask.
        group: regular expression; what it matches in a sample's id is the unit of the bootstrap, such as the clip or
            the patient. None is the sample itself.

    Raises:
        ConfigError: there is no metric, or the expression is none.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        datasets: Sequence[str],
        prompts: Sequence[str],
        frame: Frame,
        run: str = "run",
        filled_box: bool = False,
        group: str | None = None,
    ) -> None:
        if not metrics:
            raise ConfigError("metrics: expected at least one; got none; add +metric@metrics.iou=iou")
        self.metrics = dict(metrics)
        self.datasets = list(datasets)
        self.prompts = list(prompts)
        self.run = run
        self.filled_box = filled_box
        self.frame = frame
        self._lines: list[Line] = []
        try:
            self._group = None if group is None else re.compile(group)
        except re.error as error:
            raise ConfigError(f"evaluation.group: expected a regular expression; got {group!r} ({error})") from error

    def update(self, batch: Batch, logits: Mapping[Row, Tensor]) -> pd.DataFrame:
        """Scores and collects the batch's `lines`, and gives their table."""
        lines = self.lines(batch, logits)
        self._lines += lines
        return make_table(lines)

    def lines(self, batch: Batch, logits: Mapping[Row, Tensor]) -> list[Line]:
        """Scores (variant, output) rows at each mask's original size, threshold 0, where it is not ignored.

        Args:
            batch: with original masks.
            logits: (N, 1, 4h, 4w) of each row.

        Returns:
            The lines of the batch's table.

        Raises:
            ConfigError: a metric gives something else than one finite value per prediction.
        """
        if batch.original_masks is None:
            raise ValueError("expected a batch with original_masks, got a training batch")
        rows = [*logits, *([BOX_ROW] if self.filled_box else [])]
        values: dict[str, list[Tensor]] = {name: [] for name in self.metrics}
        for place, target in enumerate(batch.original_masks):
            cut = batch.cut_of(place)
            predicted = [self.frame.restore(of_row[place], target.shape, cut) for of_row in logits.values()]
            if self.filled_box:
                predicted.append(self._box(batch, place, target)[None])
            ignore = batch.original_ignore_of(place)
            of_all = (torch.cat(predicted), target[None], None if ignore is None else ignore[None])
            for name, metric in self.metrics.items():
                values[name].append(_one_each(name, metric.function(*of_all), len(rows)))
        # (N, rows, metrics); the device is waited for here alone
        together = torch.stack([torch.stack(of_metric).cpu() for of_metric in values.values()], dim=-1)
        lines = [
            (self.run, *row, *key, name, value, *facts)
            for (key, facts), of_mask in zip(self.masks(batch), together.tolist(), strict=True)
            for row, of_row in zip(rows, of_mask, strict=True)
            for name, value in zip(self.metrics, of_row, strict=True)
        ]
        _require_finite(lines)
        return lines

    def compute(self) -> pd.DataFrame:
        """The table of all processes and a fresh start; all must call it.

        Masks that several processes scored are in it once.
        """
        lines = {line[:KEYS]: line for line in _gather(self._lines)}.values()
        self.reset()
        return ordered_table(lines, self.datasets, self.prompts)

    def reset(self) -> None:
        """Forgets what was collected."""
        self._lines = []

    def masks(self, batch: Batch) -> list[tuple[Line, Line]]:
        """(dataset, sample, mask, prompts) and (thinness, group) of each row of the batch."""
        seen: Counter[Line] = Counter()
        thin: dict[Line, float] = {}
        masks = []
        for place, target in enumerate(batch.original_masks or []):
            dataset, sample = batch.datasets[place], batch.sample_ids[place]
            prompts = batch.prompt_names[place]
            mask = (dataset, sample, seen[dataset, sample, prompts])
            seen[dataset, sample, prompts] += 1
            if mask not in thin:
                thin[mask] = thinness(target.cpu().numpy())
            masks.append(((*mask, prompts), (thin[mask], self._unit(sample))))
        return masks

    def _unit(self, sample: str) -> str:
        if self._group is None:
            return sample
        match = self._group.search(sample)
        if match is None or not match[0]:
            raise ConfigError(
                f"evaluation.group: expected an expression that matches in the id of every sample; got "
                f"{self._group.pattern!r}, which does not in {sample!r}"
            )
        return match[0]

    def _box(self, batch: Batch, place: int, target: Tensor) -> Tensor:
        """(H0, W0) bool: the filled box of a row's prompt, or that around its true mask."""
        box = batch.box_of(place)
        if box is None:
            return fill_box(target)
        (x0, y0, x1, y1), (height, width) = box.tolist(), target.shape
        left, top, *size = batch.cut_of(place) or (0, 0, width, height)
        across, down = self.frame.scale(size[::-1])
        columns = torch.arange(width, device=target.device) + 0.5 - left
        lines = torch.arange(height, device=target.device) + 0.5 - top
        # corners are pixels inside the box
        inside = (columns >= x0 * across) & (columns < (x1 + 1) * across)
        return ((lines >= y0 * down) & (lines < (y1 + 1) * down))[:, None] & inside


def build_scorer(config: DictConfig, datasets: Sequence[str], prompts: Sequence[str], frame: Frame) -> Scorer:
    """Builds the scorer of a run or an evaluation, whose config has metrics, evaluation and name."""
    metrics = {name: instantiate(metric) for name, metric in config.metrics.items()}
    options = {"filled_box": config.evaluation.filled_box, "group": config.evaluation.group}
    return Scorer(metrics, datasets, prompts, frame, config.name, **options)


def ordered_table(lines: Iterable[Sequence[Any]], datasets: Sequence[str], prompts: Sequence[str]) -> pd.DataFrame:
    """The table of lines by dataset and prompts, in the orders given, sample and mask."""
    return make_table(
        sorted(lines, key=lambda line: (datasets.index(line[3]), prompts.index(line[6]), line[4], line[5]))
    )


def fill_box(mask: Tensor) -> Tensor:
    """(H0, W0) bool: the box around a mask, filled."""
    return _span(mask.any(1))[:, None] & _span(mask.any(0))


def _one_each(name: str, values: Tensor, count: int) -> Tensor:
    if values.shape != (count,):
        raise ConfigError(
            f"metrics.{name}: expected a function that gives one value for each of {count} predictions; got "
            f"{tuple(values.shape)}"
        )
    return where_float64(values).double()


def _require_finite(lines: Sequence[Line]) -> None:
    for line in lines:
        if not -float("inf") < line[8] < float("inf"):
            raise ConfigError(
                f"metrics.{line[7]}: expected a finite value for every prediction, also of empty masks; got {line[8]} "
                f"for mask {line[5]} of {line[4]}, {line[1]}"
            )


def _span(flags: Tensor) -> Tensor:
    """(n,) bool -> those from the first to the last that is set."""
    counts = flags.long().cumsum(0)
    return (counts > 0) & (counts - flags.long() < counts[-1])


def _gather(lines: list[Line]) -> list[Line]:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return lines
    parts: list[list[Line]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(parts, lines)
    return [line for part in parts for line in part]
