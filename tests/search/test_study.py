"""Studies: what a search finds in its file, and what a pruning callback needs of them."""

from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from hqsam_lightning.errors import ConfigError, DataError, StorageError
from hqsam_lightning.search.journal import check_journal
from hqsam_lightning.search.pruning import OptunaPruning
from hqsam_lightning.search.study import alone, open_study

SPACE = {"lr": FloatDistribution(0, 1), "width": IntDistribution(1, 4)}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"\.in_use: cannot be written"), alone(tmp_path / "file/study.log"):
        pass


@pytest.mark.parametrize(
    ("objectives", "space", "recipe", "what"),
    [
        (["miou"], SPACE, {"seed": 7}, "objectives"),
        (["mbiou"], {"lr": FloatDistribution(0, 2)}, {"seed": 7}, "space"),
        (["mbiou"], SPACE, {"seed": 8}, "recipe"),
    ],
)
def test_a_study_of_another_search_is_refused(
    tmp_path: Path, objectives: list[str], space: dict, recipe: dict, what: str
) -> None:
    path = tmp_path / "study.log"
    open_study(path, "a", ["mbiou"], SPACE, {"seed": 7})
    with pytest.raises(ConfigError, match=f"expected the {what} that the study began with"):
        open_study(path, "a", objectives, space, recipe)
    with pytest.raises(DataError, match=r"expected 2 objective\(s\) to maximise"):
        open_study(path, "a", ["mbiou", "miou"], SPACE, {"seed": 7})


@pytest.mark.parametrize(
    ("params", "value"),
    [({"lr": 2.0}, 0.5), ({"other": 0.5}, 0.5), ({"width": 9}, 0.5), ({"lr": float("nan")}, 0.5)],
)
def test_values_outside_the_space_are_named(tmp_path: Path, params: dict, value: float) -> None:
    """As a program other than a search could have added them."""
    path = tmp_path / "study.log"
    study = open_study(path, "a", ["mbiou"], SPACE, {})
    study.enqueue_trial(params)
    check_journal(path)
    with pytest.raises(DataError, match=r"study\.log: trial 0: \w+: expected a value of"):
        open_study(path, "a", ["mbiou"], SPACE, {})


def test_pruning_reports_to_its_trial(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    study = open_study(path, "a", ["mbiou"], SPACE, {})
    study.ask(SPACE)
    study.ask(SPACE)
    callback = OptunaPruning(str(path), "a", 1, "val/hq/mbiou", 3)
    callback.trial.report(0.5, 0)
    assert [trial.intermediate_values for trial in open_study(path, "a", ["mbiou"], SPACE, {}).trials] == [{}, {0: 0.5}]


@pytest.mark.parametrize(("name", "trial"), [("b", 0), ("a", 7)])
def test_pruning_names_a_study_that_it_cannot_use(tmp_path: Path, name: str, trial: int) -> None:
    path = tmp_path / "study.log"
    open_study(path, "a", ["mbiou"], SPACE, {}).ask(SPACE)
    with pytest.raises(DataError, match=rf"study=.*study\.log: expected the study {name} with trial {trial}"):
        OptunaPruning(str(path), name, trial, "val/hq/mbiou", 3)
