"""Progress of training and validation: a bar on a terminal, lines in the log otherwise."""

from __future__ import annotations

import logging
import math
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar

from hqsam_lightning.checks import arguments, integer, number, optional
from hqsam_lightning.runtime.progress import SECONDS, Pace, has_terminal

log = logging.getLogger(__name__)

FIRST = 3
"""Optimiser steps after which the first line is written: by then the pace is known."""


class TerminalProgressBar(RichProgressBar):
    """Lightning's bar, on a terminal alone: a file would get nothing of it but control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if not has_terminal():
            self.disable()


class ProgressLines(L.Callback):
    """Logs step, epoch, loss, images per second and remaining time, where no terminal shows a bar.

    A line comes after the first few steps of this process, then after every tenth of the run or `every_n_steps`, and at
    least every `every_seconds`. Validations longer than that have lines too.

    Args:
        every_n_steps: optimiser steps between lines; None is a tenth of the run.
        every_seconds: seconds between lines at most.

    Raises:
        ConfigError: for a number that is not positive.
    """

    @arguments("callbacks.progress", every_n_steps=optional(integer(1)), every_seconds=number(0, above=True))
    def __init__(self, every_n_steps: int | None = None, every_seconds: float = SECONDS) -> None:
        self.every_n_steps = every_n_steps
        self.every_seconds = every_seconds
        self._enabled = not has_terminal()
        self._pace = self._validation = Pace(None)
        self._began_at = self._step = self._images = self._validated = 0
        self._validating = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock."""
        steps = trainer.estimated_stepping_batches
        total = None if math.isinf(steps) else int(steps)
        self._pace = Pace(total, trainer.global_step, self.every_n_steps, self.every_seconds)
        self._began_at = self._step = trainer.global_step
        self._images, self._validating = 0, 0.0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Logs a line when a step was taken and one is due."""
        self._images += len(batch.images) * trainer.world_size
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        due = self._pace.is_due(self._step) or self._step == self._began_at + FIRST
        if due and self._enabled and trainer.is_global_zero:
            log.info(self._line(trainer))

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the validation's clock."""
        batches = trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        total = sum(batches)
        self._validation = Pace(None if math.isinf(total) else int(total), 0, None, self.every_seconds)
        self._validated = 0

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Logs a line when the validation has run for long."""
        pace = self._validation
        self._validated += 1
        long = pace.elapsed() >= self.every_seconds
        if long and pace.is_due(self._validated) and self._enabled and trainer.is_global_zero:
            total = f"/{pace.total}" if pace.total else ""
            log.info("validation: batch %d%s%s", self._validated, total, pace.left(self._validated))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keeps the validation's seconds out of the images per second."""
        self._validating += self._validation.elapsed()

    def _line(self, trainer: L.Trainer) -> str:
        pace = self._pace
        total = f"/{pace.total} ({100 * self._step / pace.total:.0f} %)" if pace.total else ""
        loss = trainer.callback_metrics.get("train/loss")
        seconds = max(pace.elapsed() - self._validating, 1e-9)
        return (
            f"step {self._step}{total}, epoch {trainer.current_epoch + 1}"
            f"{'' if loss is None else f', loss {float(loss):.4g}'}"
            f", {self._images / seconds:.3g} images/s{pace.left(self._step)}"
        )
