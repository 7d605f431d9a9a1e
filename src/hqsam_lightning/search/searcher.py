"""Searches with Optuna: one trial is trained after another, and the study is a file that survives being killed."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra.core.override_parser.types import Override
from hydra.plugins.launcher import Launcher
from optuna.trial import TrialState

from hqsam_lightning.checks import arguments, integer, list_of, optional, text, where
from hqsam_lightning.errors import ConfigError, DataError, HQSamError, choice_error
from hqsam_lightning.overrides import quote_override
from hqsam_lightning.recipe import recipe_of, without
from hqsam_lightning.runtime.interruption import chain_of, describe_error, interruption_status, raise_storage_fault
from hqsam_lightning.search.search_space import directions_of, distribution_of, judged_variant
from hqsam_lightning.search.study import count_done, open_study
from hqsam_lightning.seeding import derive_seed
from hqsam_lightning.storage.locks import claim_file

log = logging.getLogger(__name__)

PRUNING = "hqsam_lightning.search.pruning.OptunaPruning"
OBJECTIVES = where(
    list_of(text(1), least=1),
    "names of metrics, each once, e.g. [boundary_iou]",
    lambda names: len(set(names)) == len(names),
)
MOST_FAILURES = 3
"""In a row: the values of the trial are then not the reason."""


class Search:
    """One study: what is searched, by what, and how many trials.

    A trial that finished, or was pruned, counts. One that a kill or a signal left running is marked failed and its
    values are tried again; one that failed by itself is recorded with its error and not tried again, and the search
    continues unless `MOST_FAILURES` fail in a row. The same values are not trained twice.

    Args:
        study: path of the study's file (Optuna's journal); made where missing.
        name: of the study in it.
        n_trials: trials in all, over all sessions.
        objectives: names of metrics, each maximised or minimised as the metric says. Several are searched without
            pruning.
        seed: of the sampler.
        overrides: parsed; those that sweep span the space, the others hold for every trial. The last of a key counts.
        compose: composes the config of overrides, as plain values.
        prune_after: trials without pruning, after which one is stopped where its objective is worse than their median;
            None never stops one.

    Attributes:
        failures: a line per trial of the last session that failed by itself.

    Raises:
        ConfigError: naming the key whose value cannot work.
    """

    @arguments(
        "hydra.sweeper",
        study=text(1),
        name=text(1),
        n_trials=integer(1),
        objectives=OBJECTIVES,
        seed=integer(0),
        prune_after=optional(integer(0)),
    )
    def __init__(
        self,
        study: str,
        name: str,
        n_trials: int,
        objectives: Sequence[str],
        seed: int,
        overrides: Sequence[Override],
        compose: Callable[[list[str]], Mapping[str, Any]],
        prune_after: int | None = None,
    ) -> None:
        if prune_after is not None and len(objectives) > 1:
            raise ConfigError(
                f"hydra.sweeper.prune_after: expected null with several objectives ({', '.join(objectives)}), which "
                f"Optuna cannot prune; got {prune_after}"
            )
        self.path = Path(study).expanduser()
        self.name = name
        self.n_trials = n_trials
        self.prune_after = prune_after
        self.seed = seed
        self.failures: list[str] = []
        self._failed_in_a_row = 0
        last = {override.get_key_element(): override for override in overrides}
        self.fixed = [
            f"{key}={override.get_value_element_as_str()}"
            for key, override in last.items()
            if not override.is_sweep_override()
        ]
        self.space = {key: distribution_of(override) for key, override in last.items() if override.is_sweep_override()}
        if not self.space:
            raise ConfigError(
                "hydra.sweeper.params: expected a key with several values, e.g. "
                "{optimizer.lr: 'tag(log, interval(1e-4, 1e-2))'}; got none"
            )
        config = compose(self.fixed)
        self.objectives = directions_of(config, objectives)
        self.variant = judged_variant(config)
        self.recipe = without(recipe_of(config), self.space)

    def run(self, launcher: Launcher) -> list[Any]:
        """Trains the trials that the study lacks.

        Args:
            launcher: of Hydra; runs one trial after another.

        Returns:
            The objectives of the trials of this session; None for those that were pruned or failed.

        Raises:
            HQSamError: the study is damaged, of another search, in use, or cannot be written; a trial was not scored.
            SystemExit: a signal ended a trial, whose values are tried again at the next start.
        """
        results: list[Any] = []
        self.failures, self._failed_in_a_row = [], 0
        expected = f"hydra.sweeper.study={self.path}: expected a study that no other process searches"
        remedy = "wait for it, give another hydra.sweeper.study, or start one process per search"
        # another process would take this one's running trial for a killed one's
        with claim_file(self.path.with_name(f"{self.path.name}.in_use"), expected, remedy):
            study = self.open_study()
            self._retry_interrupted(study)
            while (done := count_done(study)) < self.n_trials and self._failed_in_a_row < MOST_FAILURES:
                trial, failed = study.ask(self.space), len(self.failures)
                log.info("trial %s, the %s. of %s that count: %s", trial.number, done + 1, self.n_trials, trial.params)
                results.append(self._known(study, trial) or self._run_trial(study, trial, launcher))
                self._failed_in_a_row = self._failed_in_a_row + 1 if len(self.failures) > failed else 0
            for best in study.best_trials:
                values = ", ".join(
                    f"{name} {value:.4f}" for name, value in zip(self.objectives, best.values, strict=True)
                )
                log.info("best: trial %s, %s with %s", best.number, values, best.params)
        return results

    def describe_failures(self) -> str | None:
        """Lines that sum up the trials that failed in the last session; None where there are none."""
        if not self.failures:
            return None
        lines = [
            f"{len(self.failures)} trial(s) of the search {self.name} failed and are not done again:",
            *self.failures,
        ]
        if self._failed_in_a_row == MOST_FAILURES:
            lines.append(f"{MOST_FAILURES} failed in a row: the search ended before its {self.n_trials} trials")
        return "\n".join(lines)

    def open_study(self) -> optuna.Study:
        """Opens the study's file, or makes it.

        Raises:
            ConfigError: the file holds a study of other objectives, of another space or of another recipe.
            DataError: the file is damaged.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = open_study(self.path, self.name, self.objectives, self.space, self.recipe)
        # otherwise a resumed study would draw again what it drew at first
        study.sampler = optuna.samplers.TPESampler(seed=derive_seed(self.seed, len(study.trials)) % 2**32)
        return study

    def _retry_interrupted(self, study: optuna.Study) -> None:
        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            log.info("trial %s was interrupted: its values are tried again", trial.number)
            study.enqueue_trial(trial.params)
            study.tell(trial.number, state=TrialState.FAIL)

    def _known(self, study: optuna.Study, trial: optuna.Trial) -> list[float] | None:
        """Objectives of an earlier trial with the same values, which training would only give again."""
        for earlier in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            if earlier.params == trial.params:
                log.info("trial %s is trial %s again, and not trained", trial.number, earlier.number)
                study.tell(trial, earlier.values)
                return list(earlier.values)
        return None

    def _run_trial(self, study: optuna.Study, trial: optuna.Trial, launcher: Launcher) -> list[float] | None:
        """Objectives of the trial; None where it was pruned or failed."""
        try:
            (job,) = launcher.launch([self._overrides(trial)], initial_job_idx=trial.number)
            values = self._objectives(job.return_value)
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
            return None
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            status = interruption_status(error)
            if status is not None:
                log.warning("trial %s was stopped by a signal; the same command tries its values again", trial.number)
                raise SystemExit(status) from error
            raise_storage_fault(error)
            self._record_failure(study, trial, error)
            return None
        if values is None:
            study.tell(trial, state=TrialState.FAIL)
            raise ConfigError("hydra.sweeper.objectives: expected a run that scores a validation set, got one without")
        study.tell(trial, values)
        return values

    def _overrides(self, trial: optuna.Trial) -> list[str]:
        overrides = [*self.fixed, *_as_overrides(trial)]
        if self.prune_after is not None:
            place = {"study": str(self.path), "name": self.name, "trial": trial.number}
            rule = {"monitor": f"val/{self.variant}/{next(iter(self.objectives))}", "prune_after": self.prune_after}
            overrides.append(quote_override("+callbacks.pruning", {"_target_": PRUNING, **place, **rule}))
        return overrides

    def _record_failure(self, study: optuna.Study, trial: optuna.Trial, error: BaseException) -> None:
        text = describe_error(error)
        own = any(isinstance(each, HQSamError) for each in chain_of(error))
        log.error("trial %s failed: %s", trial.number, text, exc_info=None if own else error)
        trial.set_user_attr("error", text)
        study.tell(trial, state=TrialState.FAIL)
        self.failures.append(f"  trial {trial.number} ({', '.join(_as_overrides(trial))}): {text}")

    def _objectives(self, result: Mapping[str, float]) -> list[float] | None:
        """Finite objectives; None where nothing was scored."""
        if not result:
            return None
        for metric in self.objectives:
            if metric not in result:
                raise choice_error("hydra.sweeper.objectives", metric, sorted(result))
        values = [float(result[metric]) for metric in self.objectives]
        if not all(map(math.isfinite, values)):
            raise DataError(f"hydra.sweeper.objectives: expected finite {', '.join(self.objectives)}; got {values}")
        return values


def _as_overrides(trial: optuna.Trial) -> list[str]:
    return [f"{key}={value}" for key, value in trial.params.items()]
