"""The best checkpoint of each variant, with the scores of every mask at that validation."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
from lightning.pytorch.callbacks import Checkpoint

from hqsam_lightning.checks import arguments, boolean, text
from hqsam_lightning.errors import CheckpointError, DataError, choice_error
from hqsam_lightning.evaluation.choosing import choose_output
from hqsam_lightning.evaluation.table import BASELINE, parse_table, to_csv
from hqsam_lightning.storage.files import UNREADABLE, read_document, write_document
from hqsam_lightning.training.module import HQSamModule

log = logging.getLogger(__name__)

READING: tuple[type[Exception], ...] = (DataError, *UNREADABLE)
KIND, VERSION = "best_scores", 2
REMEDY = "the scores of this checkpoint are left out of the results"


@dataclass(frozen=True)
class Choice:
    """Why a checkpoint is the best one.

    Attributes:
        epoch: counted from 0.
        step: optimiser steps that were taken.
        metric: that it was chosen by.
        value: of the variant, see `HQSamModule.objectives`.
        output: the logits to use, see `hqsam_lightning.evaluation.choosing`; None where the run makes no choice.
    """

    epoch: int
    step: int
    metric: str
    value: float
    output: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class BestWeights(Choice):
    """The validation that a variant's best checkpoint is of.

    Attributes:
        table: of scores, by these weights.
    """

    table: pd.DataFrame


class BestCheckpoints(Checkpoint):
    """Keeps each trained variant's weights of the validation that was its best, chosen by its own score.

    So no variant's result depends on those trained beside it. DIRPATH/VARIANT.ckpt holds that variant alone, and a JSON
    file of the same name the validation's scores: the table of these weights needs no further validation, also where
    the run was resumed since.

    Args:
        dirpath: folder of the checkpoints.
        metric: name of the metric that they are chosen by.
        choose_output: whether the same validation chooses the output that a checkpoint is used with.

    Raises:
        ConfigError: the run has no such metric.
    """

    @arguments("callbacks.best", metric=text(1), choose_output=boolean())
    def __init__(self, dirpath: str, metric: str, choose_output: bool = False) -> None:
        self.folder = Path(dirpath)
        self.metric = metric
        self.choose_output = choose_output
        self.chosen: dict[str, Choice] = {}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Makes sure that there is such a metric, before anything is trained."""
        if isinstance(pl_module, HQSamModule) and self.metric not in pl_module.scorer.metrics:
            raise choice_error("callbacks.best.metric", self.metric, sorted(pl_module.scorer.metrics))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves the variants whose score is their best so far; the validation after the last step counts too."""
        if trainer.sanity_checking or not isinstance(pl_module, HQSamModule):
            return
        epoch = trainer.fit_loop.epoch_progress.current.ready - 1
        is_better = pl_module.scorer.metrics[self.metric].is_better
        for variant, values in pl_module.objectives.items():
            before, value = self.chosen.get(variant), values[self.metric]
            if before is None or is_better(value, before.value):
                table = pl_module.scores[pl_module.scores["variant"].isin([BASELINE, variant])]
                output = (
                    choose_output(table, variant, self.metric, pl_module.scorer.metrics) if self.choose_output else None
                )
                self.chosen[variant] = Choice(epoch, trainer.global_step, self.metric, value, output=output)
                self._save(trainer, pl_module, variant, table)

    def state_dict(self) -> dict[str, Any]:
        """Goes into last.ckpt: what was chosen so far."""
        return {variant: asdict(choice) for variant, choice in self.chosen.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what was chosen, where its files are: a run that is resumed elsewhere begins to choose anew."""
        self.chosen = {}
        for variant, choice in state_dict.items():
            if not self._checkpoint(variant).is_file():
                log.warning("%s: the best weights of %s so far are not there", self._checkpoint(variant), variant)
            elif choice["metric"] == self.metric:
                self.chosen[variant] = Choice(**choice)

    @property
    def best(self) -> dict[str, BestWeights]:
        """The validations of the chosen weights, by variant; one whose file cannot be read is a warning."""
        best = {}
        for variant, chosen in self.chosen.items():
            path = self._scores(variant)
            try:
                choice, table = read_best_scores(path)
                if choice != chosen:
                    raise CheckpointError(f"{path}: expected those of {chosen}, got {choice}; {REMEDY}")
                best[variant] = BestWeights(**asdict(choice), table=table)
            except CheckpointError as error:
                log.warning("%s", error)
        return best

    def _save(self, trainer: L.Trainer, module: HQSamModule, variant: str, table: pd.DataFrame) -> None:
        # every process calls it, the first one writes
        content = module.variant_checkpoint(variant, self.chosen[variant].output)
        trainer.strategy.save_checkpoint(content, self._checkpoint(variant))
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            write_best_scores(self._scores(variant), self.chosen[variant], table)

    def _checkpoint(self, variant: str) -> Path:
        return self.folder / f"{variant}.ckpt"

    def _scores(self, variant: str) -> Path:
        return self.folder / f"{variant}.json"


def write_best_scores(path: Path, choice: Choice, table: pd.DataFrame) -> None:
    """Writes scores such that `read_best_scores` gives them back to the last digit."""
    write_document(path, KIND, VERSION, {**asdict(choice), "table": to_csv(table).decode()})


def read_best_scores(path: Path) -> tuple[Choice, pd.DataFrame]:
    """Reads what `write_best_scores` wrote.

    Raises:
        CheckpointError: the file is missing, damaged or of another kind.
    """
    body = read_document(path, KIND, VERSION, CheckpointError, REMEDY)
    try:
        table = parse_table(body.pop("table").encode(), str(path))
        return Choice(**body), table
    except READING as error:
        raise CheckpointError(f"{path}: expected the scores of masks; got {error!r}; {REMEDY}") from error
