"""Studies: what a search finds in its file, and what a pruning callback needs of them."""

from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.search.pruning import OptunaPruning
from hqsam_lightning.search.study import open_study

SPACE = {"lr": FloatDistribution(0, 1), "width": IntDistribution(1, 4)}
MBIOU = {"mbiou": "maximize"}


@pytest.mark.parametrize(
    ("objectives", "space", "recipe", "what"),
    [
        ({"miou": "maximize"}, SPACE, {"seed": 7}, "objectives"),
        ({"mbiou": "minimize"}, SPACE, {"seed": 7}, "objectives"),
        ({"mbiou": "maximize", "miou": "maximize"}, SPACE, {"seed": 7}, "objectives"),
        (MBIOU, {"lr": FloatDistribution(0, 2)}, {"seed": 7}, "space"),
        (MBIOU, SPACE, {"seed": 8}, "recipe"),
    ],
)
def test_a_study_of_another_search_is_refused(
    tmp_path: Path, objectives: dict, space: dict, recipe: dict, what: str
) -> None:
    path = tmp_path / "study.log"
    open_study(path, "a", MBIOU, SPACE, {"seed": 7})
    with pytest.raises(ConfigError, match=f"expected the {what} that the study began with"):
        open_study(path, "a", objectives, space, recipe)


def test_pruning_reports_to_its_trial(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    study = open_study(path, "a", MBIOU, SPACE, {})
    study.ask(SPACE)
    study.ask(SPACE)
    callback = OptunaPruning(str(path), "a", 1, "val/hq/mbiou", 3)
    callback.trial.report(0.5, 0)
    assert [trial.intermediate_values for trial in open_study(path, "a", MBIOU, SPACE, {}).trials] == [{}, {0: 0.5}]


@pytest.mark.parametrize(("name", "trial"), [("b", 0), ("a", 7)])
def test_pruning_names_a_study_that_it_cannot_use(tmp_path: Path, name: str, trial: int) -> None:
    path = tmp_path / "study.log"
    open_study(path, "a", MBIOU, SPACE, {}).ask(SPACE)
    with pytest.raises(DataError, match=rf"study=.*study\.log: expected the study {name} with trial {trial}"):
        OptunaPruning(str(path), name, trial, "val/hq/mbiou", 3)
