"""How long a run trained, and the memory that it took."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
import torch

from hqsam_lightning.runtime.memory import peak_memory


class FitClock(L.Callback):
    """Seconds from the first to the last step, also those before the run was resumed; validation in between counts."""

    def __init__(self) -> None:
        self._before = 0.0
        self._started: float | None = None
        self._peak_memory: int | None = None
        self._device: torch.device | None = None

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._before + (time.monotonic() - self._started if self._started is not None else 0.0)

    @property
    def peak_memory(self) -> int | None:
        """Most bytes of the process up to the last step, see `hqsam_lightning.runtime.memory.peak_memory`."""
        return peak_memory(self._device) if self._peak_memory is None else self._peak_memory

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Keeps the device whose memory counts."""
        self._device = trainer.strategy.root_device

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock."""
        self._started = time.monotonic()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops the clock."""
        self._before, self._started = self.seconds, None
        self._peak_memory = peak_memory(self._device)

    def state_dict(self) -> dict[str, Any]:
        """Goes into checkpoints."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a checkpoint's time."""
        self._before = state_dict["seconds"]
