"""Stops trials of a search that are worse than most were at their epoch."""

from __future__ import annotations

from pathlib import Path

import lightning as L
import optuna

from hqsam_lightning.checks import arguments, integer
from hqsam_lightning.search.study import count_done, load_trial


class OptunaPruning(L.Callback):
    """Reports the objective to a study after every validation, and ends the run where Optuna's median pruner does.

    The sweeper `hydra/sweeper=optuna` adds it to the trials of a search with `prune_after`.

    Args:
        study: path of the study's file.
        name: of the study in it.
        trial: number of this trial.
        monitor: logged name of the objective.
        prune_after: trials without pruning.

    Raises:
        DataError: there is no such study or trial.
    """

    @arguments("callbacks.pruning", trial=integer(0), prune_after=integer(0))
    def __init__(self, study: str, name: str, trial: int, monitor: str, prune_after: int) -> None:
        self.trial = load_trial(Path(study), name, trial)
        self.trial.study.pruner = optuna.pruners.MedianPruner(prune_after)
        self.monitor = monitor

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reports, and raises `optuna.TrialPruned` where the trial is to end."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        value = trainer.callback_metrics[self.monitor].item()
        self.trial.report(value, trainer.current_epoch)
        if trainer.current_epoch + 1 < (trainer.max_epochs or 0) and self.trial.should_prune():
            raise optuna.TrialPruned(
                f"{self.monitor} is {value:.4f} after epoch {trainer.current_epoch}, worse than the median "
                f"of {count_done(self.trial.study)} trials"
            )
