"""The checkpoint that a stopped or killed run is resumed from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L

from hqsam_lightning.checks import arguments, integer
from hqsam_lightning.errors import CheckpointError, ConfigError
from hqsam_lightning.training.trainer import FitLoop, rescale, settled


class LastCheckpoint(L.Callback):
    """Writes last.ckpt every n optimiser steps, before every validation, and when training ends, for whatever reason.

    Every checkpoint of the run, also the best one, then says where the run was after its last optimiser step, and
    whether what follows that step (validation, the end of the epoch) was run; see `hqsam_lightning.training.trainer`.
    So a run killed at any moment and resumed validates, chooses its best checkpoint and ends as if it had not been.

    Args:
        dirpath: folder of the checkpoint.
        every_n_steps: a killed run loses at most this many optimiser steps.

    Raises:
        ConfigError: every_n_steps is not positive.
    """

    @arguments("callbacks.last", every_n_steps=integer(1))
    def __init__(self, dirpath: str, every_n_steps: int) -> None:
        self.path = Path(dirpath) / "last.ckpt"
        self.every_n_steps = every_n_steps
        self.saved_step = 0
        self.resumes_plan = True
        """Whether a resumed run has the limits and callbacks that it had: if one of them had ended it, it is ended."""
        self._step = 0
        self._accumulate = 1
        self._loops: dict[str, Any] | None = None
        self._closes = False
        self._owes = False
        self._stopped = False

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Raises a `ConfigError` where the trainer could not resume what is saved here."""
        if not isinstance(trainer.fit_loop, FitLoop):
            raise ConfigError(
                f"trainer._target_: expected hqsam_lightning.training.trainer.Trainer, whose loops resume what "
                f"callbacks.last saves; got {type(trainer).__module__}.{type(trainer).__name__}"
            )
        self._accumulate = trainer.accumulate_grad_batches

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Notes where the run is when a step was taken, and saves when it is time."""
        if trainer.global_step == self._step:
            return
        self._step, self._loops, self._owes = trainer.global_step, trainer.fit_loop.state_dict(), True
        self._closes = trainer.fit_loop.epoch_loop._num_ready_batches_reached()
        if self._step % self.every_n_steps == 0:
            self.save(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves, so that a run that ends within the validation loses no step."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self.save(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves the end of training: by its limits, by the clock, or because a callback asked for it."""
        if self._loops is not None:
            self._owes, self._stopped, self.saved_step = False, trainer.should_stop, 0
            self.save(trainer)

    def save(self, trainer: L.Trainer) -> None:
        """Saves the run behind its last step, unless that was done; all ranks must call it."""
        if self._loops is not None and self.saved_step != self._step:
            trainer.save_checkpoint(self.path, weights_only=False)
            self.saved_step = self._step

    def state_dict(self) -> dict[str, Any]:
        """Goes into checkpoints: whether a callback or the clock has ended the run, and the batches per step."""
        return {"stopped": self._stopped, "closes": self._closes, "accumulate": self._accumulate}

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Puts the noted position in place of the loops' counters, which may be in mid-transition."""
        if self._loops is not None:
            checkpoint["loops"]["fit_loop"] = settled(self._loops, self._closes, self._owes)

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Takes over where the run was; ends it at once where a callback or the clock had ended it.

        Raises:
            CheckpointError: the checkpoint was written without this callback, or counts what cannot be converted.
        """
        state = checkpoint.get("callbacks", {}).get(self.state_key)
        if state is None:
            raise CheckpointError(
                "checkpoint: expected one that callbacks.last took part in; it does not say where the run was; "
                "use last.ckpt of a run with callbacks.last"
            )
        self._step = self.saved_step = checkpoint["global_step"]
        self._closes = state["closes"]
        loops = checkpoint["loops"]["fit_loop"]
        _spread(loops, state["accumulate"], trainer)
        if loops["epoch_loop.state_dict"]["owes"]:
            self._loops, self._owes = loops, True
        trainer.should_stop = state["stopped"] and self.resumes_plan


def _spread(loops: dict[str, Any], before: int, trainer: L.Trainer) -> None:
    """Continues on other devices, whose number and memory decide how many batches a step takes."""
    now = trainer.accumulate_grad_batches
    if now != before and trainer.limit_train_batches != 1.0:
        raise CheckpointError(
            f"trainer.limit_train_batches: expected null, or the {before} batches per step that the run began with, "
            f"because it counts batches; got {trainer.limit_train_batches} and {now} batches per step; set "
            "trainer.devices and batch.max_per_device as before"
        )
    rescale(loops, before, now)
