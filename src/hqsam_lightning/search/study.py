"""Studies of searches: opened under their name, with everything checked that a search goes by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.trial import TrialState

from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.recipe import differences, flatten
from hqsam_lightning.search.journal import SealedJournal

FORMAT_VERSION = 3
Direction = Literal["maximize", "minimize"]


def open_storage(path: Path) -> JournalStorage:
    """Opens a study's file; several processes may have it open.

    Raises:
        DataError: it is damaged or of another program.
    """
    return JournalStorage(SealedJournal(path))


def open_study(
    path: Path,
    name: str,
    objectives: Mapping[str, Direction],
    space: Mapping[str, BaseDistribution],
    recipe: Mapping[str, Any],
) -> optuna.Study:
    """Opens a study, or makes it, and checks that it is of this search.

    Args:
        path: of the journal.
        name: of the study in it.
        objectives: whether to maximise or minimise, by metric.
        space: that is searched, by config key.
        recipe: what all trials of the study have in common, by key.

    Raises:
        ConfigError: the study is of another search or version.
        DataError: the file is damaged or of another program.
    """
    directions = list(objectives.values())
    study = optuna.create_study(storage=open_storage(path), study_name=name, directions=directions, load_if_exists=True)
    facts = {
        "format_version": FORMAT_VERSION,
        "objectives": dict(objectives),
        "space": {key: repr(distribution) for key, distribution in sorted(space.items())},
        "recipe": json.loads(json.dumps(recipe)),
    }
    before = study.user_attrs
    for what, value in facts.items():
        if what not in before:
            study.set_user_attr(what, value)
        elif before[what] != value:
            changed = differences(flatten(before[what], what), flatten(value, what))
            raise ConfigError(
                f"hydra.sweeper.study={path}: expected the {what} that the study began with; {'; '.join(changed)}; "
                "give another hydra.sweeper.name"
            )
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
    except KeyError as error:
        raise DataError(
            f"callbacks.pruning.study={path}: expected the study {name} with trial {number}; this callback is added by "
            "hydra/sweeper=optuna alone"
        ) from error


def count_done(study: optuna.Study) -> int:
    """Trials that need not be done again: finished or pruned."""
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))
