"""The best checkpoint, with the scores of every mask at that validation."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint

from hqsam_lightning.errors import CheckpointError
from hqsam_lightning.evaluation.scores import BestScores, MaskScores
from hqsam_lightning.storage.files import UNREADABLE, read_document, write_document
from hqsam_lightning.training.module import HQSamModule

log = logging.getLogger(__name__)

KIND, VERSION = "best_scores", 1
FILE = "best_scores.json"
REMEDY = "the table of best.ckpt is left out of the results"


class BestCheckpoint(ModelCheckpoint):
    """As Lightning's; what it keeps is the best checkpoint alone, and its masks' scores lie beside it.

    So the table of these weights needs no further validation, also where the run was resumed since.
    """

    _scores: BestScores | None = None

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves where the score is the best so far."""
        before = self.best_model_score
        super().on_validation_end(trainer, pl_module)
        self._keep_scores(trainer, pl_module, before)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """As on_validation_end, where each epoch is validated once."""
        before = self.best_model_score
        super().on_train_epoch_end(trainer, pl_module)
        self._keep_scores(trainer, pl_module, before)

    def scores(self) -> BestScores | None:
        """Scores of the weights that best.ckpt holds; None where there is none, or its scores cannot be read."""
        if self._scores is not None or self.best_model_score is None:
            return self._scores
        try:
            read = read_best_scores(Path(self.best_model_path).with_name(FILE))
        except CheckpointError as error:
            log.warning("%s", error)
            return None
        if read.score != float(self.best_model_score):
            log.warning(
                "%s: expected the scores of a validation with %s %s, got %s; %s",
                Path(self.best_model_path).with_name(FILE),
                *(self.monitor, float(self.best_model_score), read.score, REMEDY),
            )
            return None
        return read

    def _keep_scores(self, trainer: L.Trainer, pl_module: L.LightningModule, before: Any) -> None:
        if self.best_model_score is None or self.best_model_score is before or not isinstance(pl_module, HQSamModule):
            return
        self._scores = BestScores(
            epoch=trainer.current_epoch,
            step=trainer.global_step,
            monitor=str(self.monitor),
            score=float(self.best_model_score),
            masks=pl_module.scores,
        )
        if trainer.is_global_zero:
            write_best_scores(Path(self.best_model_path).with_name(FILE), self._scores)


def write_best_scores(path: Path, best: BestScores) -> None:
    """Writes scores such that `read_best_scores` gives them back to the last digit.

    Raises:
        StorageError: the disk is full or cannot be written.
    """
    masks = [
        [mask.dataset, mask.sample_id, mask.mask, mask.thinness, [[*row, *pair] for row, pair in mask.scores.items()]]
        for mask in best.masks
    ]
    facts = {"epoch": best.epoch, "step": best.step, "monitor": best.monitor, "score": best.score}
    write_document(path, KIND, VERSION, {**facts, "masks": masks})


def read_best_scores(path: Path) -> BestScores:
    """Reads what `write_best_scores` wrote.

    Raises:
        CheckpointError: the file is missing, damaged or of another kind.
    """
    body = read_document(path, KIND, VERSION, CheckpointError, REMEDY)
    try:
        masks = [
            MaskScores(dataset, sample_id, mask, thinness, {(row[0], row[1]): (row[2], row[3]) for row in rows})
            for dataset, sample_id, mask, thinness, rows in body["masks"]
        ]
        return BestScores(body["epoch"], body["step"], body["monitor"], body["score"], masks)
    except UNREADABLE as error:
        raise CheckpointError(f"{path}: expected the scores of masks; got {error!r}; {REMEDY}") from error
