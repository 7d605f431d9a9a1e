"""The check of a whole config: every key against odd values, all problems in one error."""

import copy
import random
from functools import lru_cache
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.overrides import as_hydra_takes
from hqsam_lightning.schema import check_config, problems_of
from hqsam_lightning.schema.checking import add_problems
from hqsam_lightning.schema.keys import resolve

ODD = {
    "-1": -1,
    "0": 0,
    "abc": "abc",
    "null": None,
    "[]": [],
    "{}": {},
    "nan": float("nan"),
    "inf": float("inf"),
    "1e38": 1e38,
    "true": True,
    "''": "",
    "long": "x" * 5000,
}
CONFIGS = [
    ("train", "+experiment=quickstart"),
    ("train", "data=folder", "trainer=ddp", "sam=vit_b", "logger=wandb", "augmentation=repainted"),
    ("train", "+experiment=table2_token", "data=coco"),
    ("train", "+experiment=[table9_peft, table1_cost, table13_box_noise]", "data=sa1b"),
    ("pretrain",),
    ("report",),
    ("predict", "model=nano", "images=photos"),
    ("scenes",),
    ("dashboard", "entity=team"),
    ("demo",),
]
KINDS = [{"-1", "abc"}, {"0", "abc"}, {"0", "true"}, {"[]", "true"}, {"{}", "abc"}, {"1e38", "abc"}]
NAMED = ("catalogue", "variants", "val_prompts", "variant_losses")


@lru_cache
def composed(command: str, *overrides: str) -> DictConfig:
    alone = {"report": ["out=out", "runs=[a]"], "scenes": [], "dashboard": [], "demo": []}
    places = alone.get(command, ["paths.output_dir=out"])
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose(command, overrides=as_hydra_takes([*places, *overrides], command, conf_dir()))


def leaves(values: dict[str, Any], parents: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, value in values.items():
        inner = leaves(value, (*parents, name)) if isinstance(value, dict) and value else []
        found += inner or [(*parents, name)]
    return found


def with_leaf(values: dict[str, Any], parts: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy in which one leaf is another; what does not change is shared."""
    copied = dict(values)
    copied[parts[0]] = value if len(parts) == 1 else with_leaf(values[parts[0]], parts[1:], value)
    return copied


def problems_with(values: dict[str, Any], command: str, parts: tuple[str, ...], value: Any) -> dict[str, str]:
    problems: dict[str, str] = {}
    add_problems(with_leaf(values, parts, copy.copy(value)), command, problems)
    return problems


@pytest.mark.parametrize("arguments", CONFIGS, ids=" ".join)
def test_defaults_are_sound(arguments: tuple[str, ...]) -> None:
    assert problems_of(composed(*arguments), arguments[0]) == {}


def shape(command: str, parts: tuple[str, ...]) -> tuple[str, ...]:
    """A key without the names of sources, variants and prompts, which have rules in common."""
    kind = "run" if command in ("train", "pretrain") else command
    return (kind, *("*" if index and parts[index - 1] in NAMED else part for index, part in enumerate(parts)))


def test_an_odd_value_of_any_key_is_named_or_sound() -> None:
    seen, cases = set(), 0
    for command, *overrides in CONFIGS:
        values, _ = resolve(composed(command, *overrides))
        for parts in leaves(values):
            if shape(command, parts) in seen:
                continue
            seen.add(shape(command, parts))
            labels = accepted(values, command, parts)
            cases += len(ODD)
            # nothing of these pairs is a value of one kind
            assert not {"nan", "inf"} & set(labels), parts
            assert not any(pair <= set(labels) for pair in KINDS), (parts, labels)
    assert cases > 2000


def accepted(values: dict[str, Any], command: str, parts: tuple[str, ...]) -> list[str]:
    """Odd values that a key may have; each of the others is named with the key, or one above or below it."""
    labels = []
    for label, value in ODD.items():
        problems = problems_with(values, command, parts, value)
        key = ".".join(parts)
        named = any(name in key or key in f"{name}: {problem}" for name, problem in problems.items())
        assert named or not problems, (key, label, problems)
        labels += [] if problems else [label]
    return labels


@pytest.mark.parametrize("arguments", CONFIGS[:3], ids=" ".join)
def test_references_that_fail_name_their_key(arguments: tuple[str, ...]) -> None:
    config = composed(*arguments)
    found = leaves(OmegaConf.to_container(config, resolve=False))
    for parts in random.Random(0).sample(found, 10):
        key = ".".join(parts)
        changed = config.copy()
        OmegaConf.update(changed, key, "${missing}", merge=False)
        problems = problems_of(changed, arguments[0])
        assert "missing" in problems[key], key


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("seed", [-1, "abc", 1.5, 2**32]),
        ("batch.total", ["abc", 0, True]),
        ("optimizer.lr", ["-1|abc", 0, float("inf"), True]),
        ("optimizer.betas", [[0.9], [0.9, 1.0], 0.9]),
        ("loader.num_workers", [-1, 1.5]),
        ("trainer.devices", [0, "x", []]),
        ("prompts.mix", [{"box": -1}, {"box": 0}, {"scribble": 1}, [1]]),
        ("data.objects", [[3, 1], [0, 1], 2]),
        ("sam.image_size", [100, 0, "big"]),
        ("scheduler.step_size", [0, 0.5]),
        ("scheduler.gamma", [-1, 0, 1e38]),
        ("metrics.boundary_iou.function.dilation_ratio", [10, 0]),
        ("metrics.iou.label", [1]),
        ("evaluation.variant", [1]),
        ("loss.bce_weight", [1e38, -1]),
        ("trainer.gradient_clip_val", [float("inf"), 0, "1"]),
        ("callbacks.best.metric", [1]),
        ("callbacks.last.every_n_steps", [0]),
        ("callbacks.panels.rules", [{"best": 4}, {"gain": -1}]),
        ("augmentation.min_scale", [0, 1e9]),
        ("variants.hq.fusion", ["sum"]),
        ("variants.hq.features", [["decoder", "decoder"], [], "decoder"]),
        ("name", ["", "x" * 300]),
    ],
)
def test_values_that_ran_or_failed_late_are_refused(key: str, values: list[Any]) -> None:
    plain, _ = resolve(composed("train", "+experiment=quickstart"))
    for value in values:
        assert list(problems_with(plain, "train", tuple(key.split(".")), value)) == [key], value


def test_holdout_is_a_share_or_a_number() -> None:
    plain, _ = resolve(composed("train", "data=folder"))
    good = [value for value in (0, 0.1, 1, 20) if not problems_with(plain, "train", ("data", "holdout"), value)]
    bad = [value for value in (2.5, -0.1, True, "all") if problems_with(plain, "train", ("data", "holdout"), value)]
    assert (good, bad) == ([0, 0.1, 1, 20], [2.5, -0.1, True, "all"])


@pytest.mark.parametrize(
    ("arguments", "sets"),
    [(("train", "data=hqseg44k"), ("data",)), (("evaluate", "suite=fine_grained"), ("suite", "sets"))],
)
def test_sources_are_checked_where_they_are_listed(arguments: tuple[str, ...], sets: tuple[str, ...]) -> None:
    config = composed(*arguments)
    plain, _ = resolve(config)
    # an evaluation's seed and SAM are its run's
    known = list(problems_of(config, arguments[0]))
    source = (*sets, "catalogue", "coift")
    for field, value in (("weight", 0), ("image_suffixes", [".jpg", "png"]), ("exclude", 7), ("expected", -3)):
        parts = (*source, field)
        assert sorted(problems_with(plain, arguments[0], parts, value)) == sorted([*known, ".".join(parts)])
    misspelt = (*source, "wieght")
    assert "expected one of" in problems_with(plain, arguments[0], misspelt, 1)[".".join(misspelt)]


@pytest.mark.parametrize(
    ("command", "key"), [("train", "evaluation.metrics"), ("train", "batch.size"), ("evaluate", "evaluation.groups")]
)
def test_keys_that_nothing_reads_are_refused(command: str, key: str) -> None:
    plain, _ = resolve(composed(command))
    assert "expected one of" in problems_with(plain, command, tuple(key.split(".")), 1)[key]


def test_every_problem_is_in_one_error() -> None:
    config = composed("train").copy()
    OmegaConf.update(config, "seed", "abc")
    OmegaConf.update(config, "batch.total", None)
    OmegaConf.update(config, "loss.dice_weight", float("nan"))
    with pytest.raises(ConfigError, match=r"^3 keys of the config") as caught:
        check_config(config, "train")
    lines = str(caught.value).splitlines()[1:]
    assert sorted(line.split(":")[0] for line in lines) == ["batch.total", "loss.dice_weight", "seed"]


def test_one_problem_is_one_line() -> None:
    config = composed("scenes").copy()
    OmegaConf.update(config, "rows", 0)
    with pytest.raises(ConfigError, match=r"^rows: expected an integer from 1 to 1000; got 0$"):
        check_config(config, "scenes")


@pytest.mark.parametrize(
    ("command", "gone", "named"),
    [
        ("train", "optimizer", "optimizer"),
        ("train", "batch.total", "batch.total"),
        ("train", "variants.hq", "variants"),
        ("pretrain", "ema", "ema"),
        ("report", "out", "out"),
    ],
)
def test_a_key_that_is_gone_is_named(command: str, gone: str, named: str) -> None:
    config = composed(command).copy()
    OmegaConf.set_struct(config, False)
    parent, _, name = gone.rpartition(".")
    del (OmegaConf.select(config, parent) if parent else config)[name]
    assert named in problems_of(config, command)


def test_a_value_that_a_user_has_to_give_is_named() -> None:
    assert "set entity=VALUE" in problems_of(composed("dashboard", "entity=???"), "dashboard")["entity"]
    problems = problems_of(composed("train", "+head@variants.crm=cascade_psp"), "train")
    assert list(problems) == ["variants.crm.weights"]
