"""Stops points of a search that are worse than most were at their epoch."""

from __future__ import annotations

from pathlib import Path

import lightning as L
import optuna

from hqsam_lightning.errors import ConfigError, DataError, choice_error
from hqsam_lightning.search.study import BROKEN, count_done, load_study
from hqsam_lightning.training.module import HQSamModule


class OptunaPruning(L.Callback):
    """Reports the objective to a study after every validation, and ends the run where its pruner does.

    The sweeper `hydra/sweeper=optuna` adds it to the points of a search with `prune_after`. The rule is Optuna's median
    pruner.

    Args:
        study: path of the study's file.
        name: of the study in it.
        trial: number of this point.

    Raises:
        DataError: there is no such study or point.
    """

    def __init__(self, study: str, name: str, trial: int) -> None:
        self.study = load_study(Path(study), name)
        try:
            (metric,) = self.study.user_attrs["objectives"]
            prune_after = self.study.user_attrs["prune_after"]
            trial_id = self.study.get_trials(deepcopy=False)[trial]._trial_id
            self.trial = optuna.trial.Trial(self.study, trial_id)
            self.study.pruner = optuna.pruners.MedianPruner(prune_after)
        except BROKEN as error:
            raise DataError(
                f"callbacks.pruning.study={study}: expected a search with prune_after and trial {trial}; got "
                f"{self.study.user_attrs}; this callback is added by hydra/sweeper=optuna alone"
            ) from error
        self.metric = metric

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Makes sure that one variant is searched, before anything is trained."""
        assert isinstance(pl_module, HQSamModule)
        if self.metric not in pl_module.scorer.metrics:
            raise choice_error("hydra.sweeper.objectives", self.metric, sorted(pl_module.scorer.metrics))
        if pl_module.searched is None:
            names = ", ".join(pl_module.trained)
            raise ConfigError(f"evaluation.variant: expected the variant that the search judges, one of {names}")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reports, and raises `optuna.TrialPruned` where the point is to end."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        assert isinstance(pl_module, HQSamModule)
        value = pl_module.objectives[str(pl_module.searched)][self.metric]
        self.trial.report(value, trainer.current_epoch)
        if trainer.current_epoch + 1 < (trainer.max_epochs or 0) and self.trial.should_prune():
            raise optuna.TrialPruned(
                f"{self.metric} is {value:.4f} after epoch {trainer.current_epoch}, under the median of "
                f"{count_done(self.study)} points"
            )
