"""Which runs are one recipe, and which cannot stand in one table."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from example_runs import METRICS, make_table, write_run
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.reporting.numbers import Summary
from hqsam_lightning.reporting.run_folders import read_run
from hqsam_lightning.reporting.runs import Run, check_comparable, group_runs
from hqsam_lightning.reporting.tables import sams, shown_rows


def runs_at(tmp_path: Path, *settings: dict) -> list[Run]:
    """Runs with seeds 1, 2, ... and other settings of `write_run`."""
    runs = []
    for place, setting in enumerate(settings):
        facts = {"seed": place + 1} | setting.get("facts", {})
        table = setting.get("table", make_table(facts["seed"]))
        runs.append(read_run(write_run(tmp_path / f"run{place}", table, facts, setting.get("config"))))
    return runs


def test_seeds_of_a_recipe_come_together(tmp_path: Path) -> None:
    runs = runs_at(tmp_path, {"facts": {"seed": 2}}, {"facts": {"seed": 1}}, {"config": {"optimizer": {"lr": 1e-4}}})
    first, second = group_runs(runs)
    assert [run.facts["seed"] for run in first.runs] == [1, 2]
    assert second.runs == [runs[2]]
    assert first.label == "quickstart (lr=0.001)"
    assert second.label == "quickstart (lr=0.0001)"


def test_another_sam_is_another_recipe_with_its_own_baseline(tmp_path: Path) -> None:
    """Weights are told by their fingerprint: their path is no part of a recipe."""
    settings = ({}, {"facts": {"sam_sha256": "cd" * 32}}, {}, {"config": {"sam": {"precision": "bf16"}}})
    runs = runs_at(tmp_path, *settings)
    check_comparable(runs)
    recipes = group_runs(runs)
    assert [len(recipe.runs) for recipe in recipes] == [2, 1, 1]
    summary = Summary(recipes)
    assert sams(summary) == {recipe.runs[0].sam for recipe in recipes}
    assert "cdcdcdcdcdcd" in recipes[1].label
    assert [(recipe, row[0]) for recipe, row in shown_rows(summary)] == [
        (recipe, variant) for recipe in recipes for variant in ("sam", "hq")
    ]


def test_recipes_that_differ_late_are_still_told_apart(tmp_path: Path) -> None:
    """Entries are looked up by label: with one label for two recipes, both would show the numbers of one."""
    changed = {"a": 1, "b": 1, "c": 1}
    runs = runs_at(tmp_path, {}, {"config": changed}, {"config": {**changed, "d": 1}})
    labels = [recipe.label for recipe in group_runs(runs)]
    assert len(set(labels)) == 3
    assert labels[2] == "quickstart (a=1, b=1, c=1, d=1)"


def test_recipes_of_different_names_go_by_them(tmp_path: Path) -> None:
    runs = runs_at(tmp_path, {}, {"facts": {"name": "slow"}, "config": {"optimizer": {"lr": 1e-4}}})
    assert [recipe.label for recipe in group_runs(runs)] == ["quickstart", "slow"]


def test_only_runs_of_one_name_are_labelled_by_their_keys(tmp_path: Path) -> None:
    slow = {"optimizer": {"lr": 1e-4}}
    runs = runs_at(tmp_path, {}, {"config": slow}, {"facts": {"name": "other"}, "config": {"a": 1}})
    labels = [recipe.label for recipe in group_runs(runs)]
    assert labels == ["quickstart (lr=0.001)", "quickstart (lr=0.0001)", "other"]


def test_the_name_of_sam_stands_for_its_config(tmp_path: Path) -> None:
    sams = [{"name": name, "precision": "fp32", "encoder": {"width": width}} for name, width in (("a", 1), ("b", 2))]
    runs = runs_at(tmp_path, *({"config": {"sam": sam}} for sam in sams))
    assert [recipe.label for recipe in group_runs(runs)] == ["quickstart (sam=a)", "quickstart (sam=b)"]
    same_name = runs_at(tmp_path / "again", *({"config": {"sam": sam | {"name": "a"}}} for sam in sams))
    assert [recipe.label for recipe in group_runs(same_name)] == ["quickstart (width=1)", "quickstart (width=2)"]


def test_only_what_changes_training_makes_another_recipe(make_config, tmp_path: Path) -> None:
    """The real config: another seed, folder and logger are the same recipe; another learning rate is not."""

    def recipe(*overrides: str) -> dict:
        config = OmegaConf.to_container(make_config(*overrides), resolve=True)
        return Run(tmp_path, {}, config, make_table(1), METRICS).recipe_keys

    elsewhere = (
        f"paths.output_dir={tmp_path / 'b'}",
        "paths.data_dir=/x",
        "paths.cache_dir=/y",
        "logger=wandb",
        "resume=never",
    )
    assert recipe("seed=1") == recipe(
        "seed=2", "name=again", "loader.num_workers=0", "process.loader_niceness=1", *elsewhere
    )
    for other in ("optimizer.lr=0.5", "data.train_size=7", "trainer.max_epochs=1", "variants.hq.features=[decoder]"):
        assert recipe() != recipe(other), other


def test_a_seed_twice_is_refused(tmp_path: Path) -> None:
    runs = runs_at(tmp_path, {}, {"facts": {"seed": 1}})
    with pytest.raises(ConfigError, match=r"run0 and .*run1 are both seed 1 of quickstart"):
        group_runs(runs)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            {"config": {"metrics": {"iou": {}}}},
            r"one metrics; .*run0 has .*'dilation_ratio': 0.02.*run1 has {'iou': {}}",
        ),
        (
            {"config": {"val_prompts": {"points": {"mix": {"points": 1}}}}},
            r"validation prompts \(val_prompts\); .*'box': 1.*'points'",
        ),
        (
            {"table": make_table(2, "ecssd")},
            r"one validation sets; .*run0 has scenes \(6 images.*run1 has ecssd \(6 images",
        ),
        ({"table": make_table(2, images=7)}, r"run0 has scenes \(6 images.*run1 has scenes \(7 images"),
    ],
)
def test_runs_that_cannot_stand_in_one_table(tmp_path: Path, setting: dict, message: str) -> None:
    runs = runs_at(tmp_path, {}, setting)
    with pytest.raises(ConfigError, match=message):
        check_comparable(runs)


def test_other_masks_under_the_same_names_are_found(tmp_path: Path) -> None:
    table = make_table(2)
    table.loc[(table["sample"] == "scenes/0001") & (table["mask"] == 1), "thinness"] = 0.7
    runs = runs_at(tmp_path, {}, {"table": table})
    with pytest.raises(ConfigError, match=r"mask 1 of scenes/0001 of .*run0 is not that of .*run1"):
        check_comparable(runs)


def test_seeds_of_one_recipe_are_comparable(tmp_path: Path) -> None:
    check_comparable(runs_at(tmp_path, {}, {}, {"config": {"optimizer": {"lr": 1e-4}}}))
