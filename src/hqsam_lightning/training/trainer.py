"""Lightning's trainer, changed to resume exactly where a checkpoint was taken, and to leave signals to this package.

Lightning saves the counters of its loops in the middle of a transition, when a hook is called, and infers from them on
loading what was still to be done: a run saved after the last step of an epoch never validates it. Here `LastCheckpoint`
writes the counters of a finished step, and whether the run owes what follows that step (validation, the end of its
epoch), which a resumed run does first.
"""

from __future__ import annotations

import inspect
from copy import deepcopy
from typing import Any

import lightning as L
from lightning.pytorch.loops.fetchers import _DataFetcher
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop

COUNTS = ("total", "current")


class EpochLoop(_TrainingEpochLoop):
    """An epoch that begins after the batches counted in a checkpoint."""

    owes = False
    """Whether what follows the last step of the loaded checkpoint, such as a validation, is still to be done."""

    def reset(self) -> None:
        """Begins a new epoch, or keeps the loaded counters."""
        if self.restarting:
            self.restarting = False  # also of the loops inside: nothing is left half done
        else:
            super().reset()

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        """Prepares the data, and does what is owed."""
        super().on_run_start(data_fetcher)
        if self.owes:
            self.owes = False
            self.on_advance_end(data_fetcher)

    def on_save_checkpoint(self) -> dict[str, Any]:
        """The state that is not a counter."""
        return {**super().on_save_checkpoint(), "owes": self.owes}

    def on_load_checkpoint(self, state_dict: dict[str, Any]) -> None:
        """Restores the state that is not a counter."""
        super().on_load_checkpoint(state_dict)
        self.owes = state_dict["owes"]

    def _broadcast_sigterm_tensor(self) -> None:
        """Replaced by `hqsam_lightning.training.stopping.StopOnSignal`, which all ranks take part in."""


class FitLoop(_FitLoop):
    """Epochs; a run that has reached its limit still does what it owes."""

    epoch_loop: EpochLoop

    @property
    def done(self) -> bool:
        """Whether nothing is left to train or validate."""
        return not self.epoch_loop.owes and super().done


class Trainer(L.Trainer):
    """`lightning.Trainer` with the loops above, and without its signal handlers.

    Lightning's handlers call a collective, which deadlocks where only some of the ranks get the signal; see
    `hqsam_lightning.runtime.signals`.
    """

    __signature__ = inspect.signature(L.Trainer)
    """The arguments, so that a misspelt one is reported before anything is built."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        steps = self.fit_loop.epoch_loop
        loop = FitLoop(self, self.fit_loop.min_epochs, self.fit_loop.max_epochs)
        loop.epoch_loop = EpochLoop(self, steps.min_steps, steps.max_steps)
        self.fit_loop = loop
        self._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


def settled(state: dict[str, Any], closes: bool, owes: bool) -> dict[str, Any]:
    """Turns the state of the fit loop in `on_train_batch_end` into that of a finished step.

    Args:
        state: `FitLoop.state_dict()` in that hook.
        closes: whether the batch is the last of its epoch.
        owes: whether what follows the step was not done yet.
    """
    state = deepcopy(state)
    batches, others = state["epoch_loop.batch_progress"], state["epoch_loop.state_dict"]
    for part in COUNTS:
        _set_all(batches[part], batches[part]["ready"])
    others["owes"] = owes
    if owes:
        return state
    others["_batches_that_stepped"] += 1
    if closes:
        for part in COUNTS:
            _set_all(state["epoch_progress"][part], state["epoch_progress"][part]["ready"])
        batches["is_last_batch"] = False
        _reset_current(state)
    return state


def rescale(state: dict[str, Any], before: int, now: int) -> None:
    """Turns counts of batches, in place, into those of a run with another number of batches per optimiser step.

    Args:
        state: of the fit loop, of a finished step.
        before: batches per step of the run that was saved, on each of its devices.
        now: batches per step.
    """
    for part in COUNTS:
        counts = state["epoch_loop.batch_progress"][part]
        counts.update({name: count * now // before for name, count in counts.items()})


def _set_all(counts: dict[str, int], value: int) -> None:
    counts.update(dict.fromkeys(counts, value))


def _reset_current(state: dict[str, Any]) -> None:
    """Sets the counters of the epoch to zero, as at its beginning."""
    optimizer = state["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
    names = ("epoch_loop.batch_progress", "epoch_loop.scheduler_progress", "epoch_loop.val_loop.batch_progress")
    for progress in (*(state[name] for name in names), optimizer["step"], optimizer["zero_grad"]):
        _set_all(progress["current"], 0)
