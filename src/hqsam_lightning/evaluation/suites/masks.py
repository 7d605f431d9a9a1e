"""Sets of photos whose masks are scored one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from torch.utils.data import ConcatDataset, Dataset

from hqsam_lightning.data import DataSets
from hqsam_lightning.data.datasets import SampleSet
from hqsam_lightning.data.datasets.base import PhotoSet
from hqsam_lightning.data.examples import EvaluationExamples
from hqsam_lightning.data.fingerprint import fingerprint
from hqsam_lightning.data.problems import listed
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.scorer import ordered_table
from hqsam_lightning.evaluation.suites.base import Record, Setting, Suite
from hqsam_lightning.evaluation.table import COLUMNS
from hqsam_lightning.types import Batch, Example


class MaskSuite(Suite):
    """Every mask of some sets, at its photo's own size; means are over the masks of a set.

    Args:
        sets: by name, or sets of a training run, of which those to validate on are taken.

    Raises:
        ConfigError: there is no photo.
    """

    shows_boxes = True

    def __init__(self, sets: DataSets | Mapping[str, SampleSet]) -> None:
        self.sets = dict(sets.validation if isinstance(sets, DataSets) else sets)
        if not sum(map(len, self.sets.values())):
            raise ConfigError(
                "suite.sets: expected at least one photo with masks to score; got none; set suite.sets.val_sources, "
                "paths.data_dir, or another suite=..."
            )

    def examples(self, setting: Setting) -> Dataset[Example]:
        """The sets one after the other."""
        frame, size = setting.scorer.frame, setting.mask_input_size
        return ConcatDataset(
            [EvaluationExamples(samples, frame, setting.prompts, size, name) for name, samples in self.sets.items()]
        )

    def facts(self) -> dict[str, Any]:
        """Count, names and content of each set."""
        return fingerprint(DataSets([], self.sets))["validation"]

    def unreadable(self) -> Sequence[str]:
        """Photos that the sets found to be broken."""
        return [problem for photos in self._photos() for problem in photos.unreadable]

    def left_out(self) -> Sequence[str]:
        """Annotations that the sets do not use."""
        wrong = {photos.name: photos.left_out for photos in self._photos() if photos.left_out}
        return [f"{len(problems)} entries of {name}: {listed(problems)}" for name, problems in wrong.items()]

    def _photos(self) -> list[PhotoSet]:
        return [samples for samples in self.sets.values() if isinstance(samples, PhotoSet)]

    def score(self, setting: Setting, batch: Batch, model: Model) -> list[list[Record]]:
        """Keeps the lines of the table, by image."""
        logits = model.encode(batch.images).logits(batch.prompts, batch.image_index)
        records = [dict(zip(COLUMNS, line, strict=True)) for line in setting.scorer.lines(batch, logits)]
        samples = list(dict.fromkeys(batch.sample_ids))
        return [[record for record in records if record["sample"] == sample] for sample in samples]

    def table(self, setting: Setting, records: Sequence[Record]) -> pd.DataFrame:
        """The lines, by set and prompts, in the order of samples that training has."""
        lines = [[record[name] for name in COLUMNS] for record in records]
        return ordered_table(lines, list(self.sets), list(setting.prompts))
