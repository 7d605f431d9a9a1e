"""Sets of photos whose masks are prompted with growing numbers of points: figure 5 of the paper."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

import pandas as pd
from torch.utils.data import Dataset

from hqsam_lightning.checks import arguments, integer
from hqsam_lightning.data import DataSets
from hqsam_lightning.data.datasets import SampleSet
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.suites.base import Record, Setting
from hqsam_lightning.evaluation.suites.masks import MaskSuite
from hqsam_lightning.prompts.drawn_points import DrawnPoints
from hqsam_lightning.types import Batch, Example

POINTS = re.compile(r"([1-9]\d{0,2})(?:\+([1-9]\d{0,2}))?")
DRAW = "#"
"""Between the name of a number of points and that of a draw, until the draws' scores are averaged."""


class PointSuite(MaskSuite):
    """Every mask of some sets, prompted with several numbers of points; see `DrawnPoints` for where they are.

    A mask's score is the mean over the draws of its points. The prompts of the config are not used.

    Args:
        sets: see `MaskSuite`.
        points: numbers of points, such as "5" positive ones, or "5+5" with as many negative ones.
        draws: how often random points are drawn.

    Raises:
        ConfigError: a value cannot work.
    """

    shows_boxes = False

    @arguments("suite", draws=integer(1))
    def __init__(self, sets: DataSets | Mapping[str, SampleSet], points: Sequence[str], draws: int = 3) -> None:
        super().__init__(sets)
        self.prompts: dict[str, list[DrawnPoints]] = {}
        for text in points:
            match = POINTS.fullmatch(str(text))
            if match is None:
                raise ConfigError(f'suite.points: expected numbers such as "5" or "5+5", in quotes; got {text!r}')
            positive, negative = int(match[1]), int(match[2] or 0)
            numbers = range(1 if (positive, negative) == (1, 0) else draws)
            self.prompts[str(text)] = [DrawnPoints(positive, negative, number) for number in numbers]
        if not self.prompts:
            raise ConfigError('suite.points: expected at least one number such as "5"; got none')

    def examples(self, setting: Setting) -> Dataset[Example]:
        """The sets one after the other, each mask with all draws of all numbers of points."""
        drawn = {
            f"{name}{DRAW}{number}": prompts
            for name, draws in self.prompts.items()
            for number, prompts in enumerate(draws)
        }
        return super().examples(replace(setting, prompts=drawn))

    def score(self, setting: Setting, batch: Batch, model: Model) -> list[list[Record]]:
        """Keeps the mean lines over the draws, by image."""
        return [_mean_lines(records) for records in super().score(setting, batch, model)]

    def table(self, setting: Setting, records: Sequence[Record]) -> pd.DataFrame:
        """The lines, by set and number of points."""
        labels = {name: _label(name) + setting.scorer.frame.suffix for name in self.prompts}
        named = [{**record, "prompts": labels[record["prompts"]]} for record in records]
        return super().table(
            replace(setting, prompts={labels[name]: of[0] for name, of in self.prompts.items()}), named
        )


def _label(name: str) -> str:
    return "1 point" if name == "1" else f"{name} points"


def _mean_lines(records: Sequence[Record]) -> list[Record]:
    values: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        line = {**record, "prompts": record["prompts"].partition(DRAW)[0]}
        key = tuple(str(line[name]) for name in ("variant", "output", "mask", "prompts", "metric"))
        values.setdefault(key, []).append(line)
    return [{**lines[0], "value": fmean(line["value"] for line in lines)} for lines in values.values()]
