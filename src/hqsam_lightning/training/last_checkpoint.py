"""The checkpoint that a killed or finished run is resumed from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L


class LastCheckpoint(L.Callback):
    """Writes last.ckpt every n optimiser steps and after the last one, atomically.

    It writes behind a step, before the epoch is closed, so that a run which max_steps ended in mid-epoch goes on there
    when it is resumed with more. (`ModelCheckpoint` knows no last step.)

    Args:
        dirpath: folder of the checkpoint.
        every_n_steps: a killed run loses at most this many optimiser steps.
    """

    def __init__(self, dirpath: str, every_n_steps: int) -> None:
        self.path = Path(dirpath) / "last.ckpt"
        self.every_n_steps = every_n_steps
        self._saved_step = 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves when a step was taken and it is time."""
        step = trainer.global_step
        last_epoch = trainer.max_epochs is not None and trainer.current_epoch + 1 == trainer.max_epochs
        ends = step == trainer.max_steps or (last_epoch and trainer.is_last_batch)
        if step != self._saved_step and (ends or step % self.every_n_steps == 0):
            trainer.save_checkpoint(self.path, weights_only=False)
            self._saved_step = step
