"""Exponential moving averages of what is trained: they are validated, saved as best checkpoints, and the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor

from hqsam_lightning.training.module import HQSamModule

TRAINED_KEY = "current_model_state"
"""Of a checkpoint, as Lightning's `WeightAveraging` names it."""


def decay_at(update: int, decay: float) -> float:
    """The decay of an average that warms up: min(decay, (1 + n) / (10 + n)) at update n >= 1."""
    return min(decay, (1 + update) / (10 + update))


class AveragedHeads(L.Callback):
    """Averages the trained weights after every step; from a validation to the next step the averages are the weights.

    Lightning's `WeightAveraging` copies the whole module, frozen SAM included, and takes the averages out before the
    checkpoint of the validated weights is saved. Here every checkpoint holds the averages; one to resume from holds the
    weights as they are trained too.

    Args:
        decay: of the average once warmed up, in [0, 1).
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._updates = 0
        self._averages: dict[str, Tensor] = {}
        self._trained: dict[str, Tensor] = {}
        """While the averages are in the module."""

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Moves the averages where a step was taken."""
        if trainer.global_step == self._updates:
            return
        self._updates = trainer.global_step
        weight = 1 - decay_at(self._updates, self.decay)
        for name, value in _state(pl_module).items():
            before = self._averages.get(name, value).to(value.device)
            self._averages[name] = torch.lerp(before, value, weight)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Puts the weights back as they are trained."""
        _put(pl_module, self._trained)
        self._trained = {}

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Puts the averages into the module."""
        self._use_averages(pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leaves the averages in the module: they are what was trained."""
        self._use_averages(pl_module)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Saves the averages as the weights, and beside them the weights as they are trained."""
        if self._averages:
            trained = self._trained or {name: value.detach() for name, value in _state(pl_module).items()}
            checkpoint[TRAINED_KEY] = trained
            checkpoint["state_dict"] |= self._averages

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Continues as if the run had not been stopped; the averages are already in the module."""
        if TRAINED_KEY in checkpoint:
            self._updates, self._trained = checkpoint["global_step"], dict(checkpoint[TRAINED_KEY])
            self._averages = {name: checkpoint["state_dict"][name] for name in self._trained}

    def _use_averages(self, module: L.LightningModule) -> None:
        if self._averages and not self._trained:
            self._trained = {name: value.detach().clone() for name, value in _state(module).items()}
            _put(module, self._averages)


def _state(module: L.LightningModule) -> dict[str, Tensor]:
    assert isinstance(module, HQSamModule)
    return module.trainable_state


@torch.no_grad()
def _put(module: L.LightningModule, values: Mapping[str, Tensor]) -> None:
    state = _state(module) if values else {}
    for name, value in values.items():
        state[name].copy_(value)
