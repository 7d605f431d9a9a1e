"""Studies of searches: opened under their name, with everything checked that a search goes by."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import OptunaError
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.recipe import differences, flatten
from hqsam_lightning.search.journal import SealedJournal
from hqsam_lightning.storage.files import UNREADABLE
from hqsam_lightning.storage.locks import claim_file

FORMAT_VERSION = 2
REMEDY = "restore a backup, or give another hydra.sweeper.study"
BROKEN: tuple[type[Exception], ...] = (*UNREADABLE, OptunaError)
"""What Optuna raises where a journal's records do not fit together."""


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keeps other processes from a study, which would take this one's running trial for a killed one's.

    Args:
        path: of the study's file; the lock is a file beside it.

    Raises:
        BusyError: another process has it.
        StorageError: the lock cannot be written.
    """
    remedy = "wait for it, give another hydra.sweeper.study, or start one process per search"
    expected = f"hydra.sweeper.study={path}: expected a study that no other process searches"
    with claim_file(path.with_name(f"{path.name}.in_use"), expected, remedy):
        yield


def open_storage(path: Path) -> JournalStorage:
    """Opens a study's file; several processes may have it open.

    Raises:
        DataError: its records do not fit together.
        StorageError: it cannot be made.
    """
    try:
        return JournalStorage(SealedJournal(path))
    except BROKEN as error:
        raise DataError(f"hydra.sweeper.study={path}: cannot be read ({_reason(error)}); {REMEDY}") from error


def open_study(
    path: Path, name: str, objectives: Sequence[str], space: Mapping[str, BaseDistribution], recipe: Mapping[str, Any]
) -> optuna.Study:
    """Opens a study, or makes it, and checks that it is of this search.

    Args:
        path: of the journal.
        name: of the study in it.
        objectives: that are maximised.
        space: that is searched, by config key.
        recipe: what all trials of the study have in common, by key.

    Raises:
        ConfigError: the study is of another search or version.
        DataError: it holds what no search wrote.
    """
    storage = open_storage(path)
    try:
        directions = [optuna.study.StudyDirection.MAXIMIZE] * len(objectives)
        study = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
        if study.directions != directions:
            raise DataError(
                f"hydra.sweeper.study={path}: expected {len(directions)} objective(s) to maximise, got "
                f"{[direction.name for direction in study.directions]}; {REMEDY}"
            )
        spans = {key: repr(distribution) for key, distribution in sorted(space.items())}
        identity = {"format_version": FORMAT_VERSION, "objectives": list(objectives), "space": spans}
        _check_identity(path, study, {**identity, "recipe": json.loads(json.dumps(recipe))})
        for trial in study.get_trials(deepcopy=False):
            fault = _trial_fault(trial, len(objectives), space)
            if fault:
                raise DataError(f"hydra.sweeper.study={path}: trial {trial.number}: {fault}; {REMEDY}")
    except ConfigError:
        raise
    except BROKEN as error:
        raise DataError(f"hydra.sweeper.study={path}: cannot be used ({_reason(error)}); {REMEDY}") from error
    return study


def load_trial(path: Path, name: str, number: int) -> optuna.Trial:
    """Opens a trial that a search in this process, or its parent, has begun.

    Raises:
        DataError: it is not there, or its study cannot be used.
    """
    storage = open_storage(path)
    try:
        study = optuna.load_study(study_name=name, storage=storage)
        study_id = storage.get_study_id_from_name(name)
        return optuna.Trial(study, storage.get_trial_id_from_study_id_trial_number(study_id, number))
    except BROKEN as error:
        raise DataError(
            f"callbacks.pruning.study={path}: expected the study {name} with trial {number} ({_reason(error)}); this "
            "callback is added by hydra/sweeper=optuna alone"
        ) from error


def count_done(study: optuna.Study) -> int:
    """Trials that need not be done again: finished or pruned."""
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def _check_identity(path: Path, study: optuna.Study, identity: Mapping[str, Any]) -> None:
    before = study.user_attrs
    if study.trials and "format_version" not in before:
        raise ConfigError(
            f"hydra.sweeper.study={path}: expected a study of hqsam_lightning (format {FORMAT_VERSION}), got one "
            "without a version; give another hydra.sweeper.study"
        )
    for what, value in identity.items():
        if what not in before:
            study.set_user_attr(what, value)
        elif before[what] != value:
            changed = differences(flatten(before[what], what), flatten(value, what))
            raise ConfigError(
                f"hydra.sweeper.study={path}: expected the {what} that the study began with; {'; '.join(changed)}; "
                "give another hydra.sweeper.name"
            )


def _trial_fault(trial: FrozenTrial, objectives: int, space: Mapping[str, BaseDistribution]) -> str | None:
    waiting = trial.system_attrs.get("fixed_params", {})  # of a trial that is done again
    if not isinstance(waiting, Mapping):
        return f"expected values by key, got {waiting!r}"
    for key, value in (*trial.params.items(), *waiting.items()):
        if key not in space or not _spans(space[key], value):
            return f"{key}: expected a value of {space.get(key)}, got {value!r}"
    for step, value in trial.intermediate_values.items():
        if not _is_finite(step) or not _is_finite(value):
            return f"expected finite objectives, got {value!r} after epoch {step!r}"
    if trial.state == TrialState.COMPLETE:
        values = trial.values
        if not isinstance(values, list) or len(values) != objectives or not all(map(_is_finite, values)):
            return f"expected {objectives} finite objective(s), got {values!r}"
    return None


def _spans(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return _is_finite(value) and distribution.low <= value <= distribution.high


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 2**63 and math.isfinite(value)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
