"""Searches with Optuna: points are trained one after another, and the study is a file that survives being killed."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.plugins.launcher import Launcher

from hqsam_lightning.errors import ConfigError, choice_error
from hqsam_lightning.seeding import derive_seed
from hqsam_lightning.training.checkpoint import PLACES, is_under

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)

PRUNING = "hqsam_lightning.training.pruning.OptunaPruning"
METRICS = ("miou", "mbiou")
# overrides that leave a recipe what it is: where things lie, on what machine, what is logged
NOT_RECIPE = ("paths", "loader", "logger", "callbacks", "trainer.devices", *PLACES)


class Search:
    """One study: what is searched, by what, and how many points.

    A point that finished, or was pruned, counts. One that a kill left running is marked failed and done again; one that
    failed by itself is not, and ends the sitting. A point that was there before is not trained twice.

    Args:
        study: path of the study's file (Optuna's journal); made where missing.
        name: of the study in it.
        n_trials: points in all, over all sittings.
        objectives: of `METRICS`, the greater the better. Several are searched without pruning.
        seed: of the sampler.
        overrides: parsed; those that sweep span the space, the others hold for every point. The last of a key counts.
        prune_after: points without pruning, after which a point is stopped where its objective is under their median;
            None never stops one.

    Raises:
        ConfigError: naming the key whose value cannot work, or where Optuna is not installed.
    """

    def __init__(
        self,
        study: str,
        name: str,
        n_trials: int,
        objectives: Sequence[str],
        seed: int,
        overrides: Sequence[Override],
        prune_after: int | None = None,
    ) -> None:
        if find_spec("optuna") is None:
            raise ConfigError(
                "hydra/sweeper=optuna: expected the package optuna; pip install 'hqsam-lightning[optuna]'"
            )
        if not objectives:
            raise ConfigError("hydra.sweeper.objectives: expected at least one metric, e.g. [mbiou]; got none")
        for metric in objectives:
            if metric not in METRICS:
                raise choice_error("hydra.sweeper.objectives", metric, METRICS)
        if n_trials < 1:
            raise ConfigError(f"hydra.sweeper.n_trials: expected an integer >= 1; got {n_trials}")
        if prune_after is not None and len(objectives) > 1:
            raise ConfigError(
                f"hydra.sweeper.prune_after: expected null with several objectives ({', '.join(objectives)}), which "
                f"Optuna cannot prune; got {prune_after}"
            )
        self.path = Path(study).expanduser()
        self.name = name
        self.n_trials = n_trials
        self.objectives = list(objectives)
        self.prune_after = prune_after
        self.seed = seed
        last = {override.get_key_element(): override for override in overrides}
        self.fixed = [_as_text(key, override) for key, override in last.items() if not override.is_sweep_override()]
        self.space = {key: _distribution(override) for key, override in last.items() if override.is_sweep_override()}
        if not self.space:
            raise ConfigError(
                "hydra.sweeper.params: expected a key with several values, e.g. "
                "{optimizer.lr: 'tag(log, interval(1e-4, 1e-2))'}; got none"
            )

    def run(self, launcher: Launcher) -> list[Any]:
        """Trains the points that the study lacks.

        Args:
            launcher: of Hydra; runs one point after another.

        Returns:
            The objectives of the points of this sitting.
        """
        results = []
        with self._alone():
            study = self.open_study()
            self._retry_interrupted(study)
            while (done := count_done(study)) < self.n_trials:
                trial = study.ask(self.space)
                log.info("point %s of %s, trial %s: %s", done + 1, self.n_trials, trial.number, trial.params)
                results.append(self._known(study, trial) or self._run_point(study, trial, launcher))
            self._describe_best(study)
        return results

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other processes from the study, which would take this one's running point for a killed one's."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f"{self.path.name}.in_use").open("w") as file:
            try:
                # of this process alone, and freed by a kill; flock's would live on in loading processes
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ConfigError(
                    f"hydra.sweeper.study={self.path}: expected a study that no other process searches; one does; wait "
                    "for it, give another hydra.sweeper.study, or start one process a search"
                ) from error
            yield

    def open_study(self) -> optuna.Study:
        """Opens the study's file, or makes it.

        Raises:
            ConfigError: the file holds a study of other objectives, of another space or of another recipe.
        """
        import optuna

        storage = open_storage(self.path)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            storage=storage,
            study_name=self.name,
            directions=["maximize"] * len(self.objectives),
            load_if_exists=True,
        )
        for what, value in self._identity().items():
            before = study.user_attrs.get(what)
            if before is None:
                study.set_user_attr(what, value)
            elif before != value:
                raise ConfigError(
                    f"hydra.sweeper.study={self.path}: expected the {what} that the study began with, {before}; got "
                    f"{value}; give another hydra.sweeper.name"
                )
        # else a resumed study would draw again what it drew at first
        study.sampler = optuna.samplers.TPESampler(seed=derive_seed(self.seed, len(study.trials)) % 2**32)
        if self.prune_after is not None:
            study.set_user_attr("prune_after", self.prune_after)
        return study

    def _identity(self) -> dict[str, Any]:
        """What all points of a study have in common, as values of JSON."""
        recipe = [text for text in self.fixed if not is_under(text.lstrip("+~").split("=")[0], NOT_RECIPE)]
        space = {key: repr(distribution) for key, distribution in sorted(self.space.items())}
        return {"objectives": self.objectives, "space": space, "recipe": sorted(recipe)}

    def _retry_interrupted(self, study: optuna.Study) -> None:
        import optuna

        for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            log.info("trial %s was interrupted: its point is done again", trial.number)
            study.enqueue_trial(trial.params)
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)

    def _known(self, study: optuna.Study, trial: optuna.Trial) -> list[float] | None:
        """Objectives of an earlier point with the same values, which training would only give again."""
        from optuna.trial import TrialState

        for earlier in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            if earlier.params == trial.params:
                log.info("trial %s is trial %s again, and not trained", trial.number, earlier.number)
                study.tell(trial, earlier.values)
                return list(earlier.values)
        return None

    def _run_point(self, study: optuna.Study, trial: optuna.Trial, launcher: Launcher) -> list[float] | None:
        """Objectives of the point; None where it was pruned."""
        import optuna

        overrides = [*self.fixed, *(f"{key}={value}" for key, value in trial.params.items())]
        if self.prune_after is not None:
            overrides.append(
                f"+callbacks.pruning={{_target_:{PRUNING},study:'{self.path}',name:'{self.name}',trial:{trial.number}}}"
            )
        try:
            (job,) = launcher.launch([overrides], initial_job_idx=trial.number)
            values = self._objectives(job.return_value)
        except optuna.TrialPruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return None
        except (Exception, SystemExit) as error:
            # Ctrl-C, which Lightning ends a run by, leaves the point to be done again
            if not isinstance(error.__context__, KeyboardInterrupt):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            raise
        study.tell(trial, values)
        return values

    def _objectives(self, result: Mapping[str, float]) -> list[float]:
        if not result:
            raise ConfigError(
                "hydra.sweeper.objectives: expected a run with a validation set to go by, got one without"
            )
        return [float(result[metric]) for metric in self.objectives]

    def _describe_best(self, study: optuna.Study) -> None:
        for trial in study.best_trials:
            values = ", ".join(f"{name} {value:.4f}" for name, value in zip(self.objectives, trial.values, strict=True))
            log.info("best: trial %s, %s with %s", trial.number, values, trial.params)


def open_storage(path: Path) -> optuna.storages.BaseStorage:
    """Opens a study's file; several processes may have it open."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


def count_done(study: optuna.Study) -> int:
    """Points that need not be done again: finished or pruned."""
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def _as_text(key: str, override: Override) -> str:
    return f"{key}={override.get_value_element_as_str()}"


def _distribution(override: Override) -> optuna.distributions.BaseDistribution:
    """What a sweep of Hydra's override grammar spans: choice, range, or interval; tags "log" and "int"."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value, key = override.value(), override.get_key_element()
    if isinstance(value, IntervalSweep):
        assert value.start is not None
        assert value.end is not None
        if "int" in value.tags:
            return IntDistribution(int(value.start), int(value.end), log="log" in value.tags)
        return FloatDistribution(value.start, value.end, log="log" in value.tags)
    if isinstance(value, RangeSweep):
        return CategoricalDistribution(list(value.range()))
    if isinstance(value, ChoiceSweep):
        return CategoricalDistribution([text.removeprefix(f"{key}=") for text in override.sweep_string_iterator()])
    raise ConfigError(f"hydra.sweeper.params.{key}: expected choice, range, or interval; got {override.input_line}")
