"""Names, tags and the command of a run, made of what a user typed."""

import shlex
import sys
from collections.abc import Iterator

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from hqsam_lightning.run_names import own_command, run_name, run_tags, task_overrides


@pytest.fixture
def hydra(make_config) -> Iterator:
    """Sets Hydra's own config as `hydra.main` does, for overrides and a mode."""
    yield lambda *overrides, mode=RunMode.RUN: _set(make_config, overrides, mode)
    HydraConfig.instance().cfg = None


def _set(make_config, overrides, mode) -> None:
    config = make_config(*overrides, hydra=True)
    with open_dict(config):
        config.hydra.mode = mode
    OmegaConf.set_readonly(config.hydra, True)
    HydraConfig.instance().set_config(config)


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "quickstart seed=42"),
        (["+experiment=quickstart", "optimizer.lr=0.001", "seed=42"], "quickstart lr=0.001 seed=42"),
        (["loss.dice_weight=5", "variant_losses.a.dice_weight=2"], None),
        (["variants.hq.features=[decoder, early]"], "quickstart features=[decoder, early] seed=42"),
        (["logger=wandb", "paths.data_dir=/x", "hydra.run.dir=o", "loader.num_workers=0", "ckpt_path=a"], None),
        (["+head@variants.lora=lora", "~callbacks.panels", "debug=fast"], "quickstart lora=lora seed=42"),
    ],
)
def test_a_run_is_named_by_what_makes_it_another(overrides: list[str], name: str | None) -> None:
    special = {
        "loss.dice_weight=5": "quickstart loss.dice_weight=5 variant_losses.a.dice_weight=2 seed=42",
        "logger=wandb": "quickstart seed=42",
    }
    assert run_name("quickstart", 42, overrides) == (name or special[overrides[0]])


def test_points_of_a_sweep_have_names_of_their_own() -> None:
    names = {run_name("q", seed, [f"optimizer.lr={lr}", f"seed={seed}"]) for seed in (1, 2) for lr in (1e-3, 3e-4)}
    assert len(names) == 4


def test_long_names_keep_the_seed() -> None:
    name = run_name("q", 7, [f"a.b{number}={number}" for number in range(100)])
    assert len(name) <= 120
    assert name.endswith(" seed=7")


def test_long_names_stay_distinct() -> None:
    fixed = [f"data.key{number}={number}" for number in range(30)]
    names = {run_name("q", 7, [*fixed, f"optimizer.lr={lr}"]) for lr in (1e-3, 3e-4, 1e-4)}
    assert len(names) == 3
    assert all(len(name) <= 120 for name in names)


def test_tags_are_the_choices(hydra) -> None:
    assert run_tags() == []
    hydra("+experiment=quickstart", "sam=tiny_random")
    assert run_tags() == ["experiment: quickstart", "sam: tiny_random", "data: synthetic_single"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["seed=2", "optimizer.lr=0.001"],
        ["data.data_dir='/my photos/a (b)'", "name=x"],
        ["'name=it''s'", "variants.hq.features=[decoder,early]"],
    ],
)
def test_a_trial_records_its_own_command(hydra, monkeypatch: pytest.MonkeyPatch, overrides: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "seed=1,2", "--multirun"])
    assert task_overrides() == []
    assert own_command("m") == "python -m m seed=1,2 --multirun"
    hydra("seed=2", mode=RunMode.MULTIRUN)
    with open_dict(HydraConfig.instance().cfg):
        OmegaConf.set_readonly(HydraConfig.instance().cfg, False)
        OmegaConf.set_readonly(HydraConfig.instance().cfg.hydra, False)
        HydraConfig.instance().cfg.hydra.overrides.task = overrides
    assert shlex.split(own_command("hqsam_lightning.train")) == ["python", "-m", "hqsam_lightning.train", *overrides]
