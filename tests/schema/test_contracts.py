"""What of Lightning's Trainer and of plug-ins is supported: refused in a sentence that names the key, or taken."""

import re
from typing import Any

import albumentations as A
import numpy as np
import pytest
from albumentations.pytorch import ToTensorV2

from conftest import ROOT
from hqsam_lightning.data import Augmentation
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.schema.keys import resolve
from hqsam_lightning.schema.target_rules import TRAINER
from schema.test_checking import composed, problems_with

REFUSED: dict[str, list[Any]] = {
    "accumulate_grad_batches": [2, 0],
    "barebones": [True],
    "callbacks": [[], {}],
    "fast_dev_run": [True, 3],
    "limit_test_batches": [2],
    "logger": [True, False],
    "overfit_batches": [1, 0.5],
    "precision": ["16-true", "bf16-mixed", "16-mixed", 16, "64-true"],
    "reload_dataloaders_every_n_epochs": [1],
    "strategy": ["fsdp", "deepspeed", "deepspeed_stage_2", "ddp_spawn", "ddp_notebook"],
    "sync_batchnorm": [True],
    "use_distributed_sampler": [True],
    "limit_train_batches": [0, 0.0, 1.5],
    "max_epochs": [0, -2, None],
    "model_registry": ["x"],
}
TAKEN: dict[str, list[Any]] = {
    "accumulate_grad_batches": [1],
    "benchmark": [True, None],
    "detect_anomaly": [True],
    "deterministic": [True, "warn"],
    "gradient_clip_val": [0.5],
    "inference_mode": [False],
    "limit_val_batches": [0, 2, 0.5],
    "logger": [None],
    "max_time": ["00:12:00:00"],
    "overfit_batches": [0, 0.0],
    "precision": [None, "32-true", 32],
    "profiler": ["simple"],
    "strategy": ["auto", "ddp"],
}


def with_key(parts: tuple[str, ...], value: Any, *overrides: str) -> dict[str, str]:
    values, _ = resolve(composed("train", *overrides))
    return problems_with(values, "train", parts, value)


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_run_cannot_honour_is_refused_in_a_sentence(name: str) -> None:
    for value in REFUSED[name]:
        problems = with_key(("trainer", name), value)
        assert list(problems) == [f"trainer.{name}"], value
        assert problems[f"trainer.{name}"].startswith("expected ")


@pytest.mark.parametrize("name", TAKEN)
def test_what_a_run_honours_is_taken(name: str) -> None:
    assert [value for value in TAKEN[name] if with_key(("trainer", name), value)] == []


def test_the_documentation_lists_every_argument_with_a_rule() -> None:
    table = (ROOT / "docs" / "trainer.md").read_text()
    named = set(re.findall(r"`(\w+)(?:=[^`]*)?`", table))
    assert sorted(set(TRAINER) - named) == []


def test_strategies_as_targets() -> None:
    fsdp = {"_target_": "lightning.pytorch.strategies.FSDPStrategy"}
    assert "DDPStrategy" in with_key(("trainer", "strategy"), fsdp)["trainer.strategy"]
    assert with_key(("trainer", "strategy"), {"_target_": "lightning.pytorch.strategies.DDPStrategy"}) == {}


def test_callbacks_that_lightning_would_refuse_later() -> None:
    bar = {"_target_": "lightning.pytorch.callbacks.TQDMProgressBar"}
    best = {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "monitor": "val/hq/iou", "mode": "max"}
    assert "~callbacks.progress_bar" in with_key(("callbacks", "bar"), bar)["callbacks.bar"]
    first = "+callbacks.first={_target_:lightning.pytorch.callbacks.ModelCheckpoint,monitor:val/hq/iou,mode:max}"
    assert "could not be told apart" in with_key(("callbacks", "again"), best, first)["callbacks.again"]
    assert with_key(("callbacks", "again"), {**best, "monitor": "val/hq/mine"}, first) == {}
    assert "~callbacks.best" in with_key(("trainer", "enable_checkpointing"), False)["trainer.enable_checkpointing"]
    assert with_key(("trainer", "enable_checkpointing"), False, "~callbacks.best") == {}
    assert (
        "~callbacks.progress_bar" in with_key(("trainer", "enable_progress_bar"), False)["trainer.enable_progress_bar"]
    )


def test_no_logger_takes_no_monitor_of_the_learning_rate() -> None:
    assert "~callbacks.learning_rate" in with_key(("logger",), {})["logger"]
    assert with_key(("logger",), {}, "~callbacks.learning_rate") == {}


def test_a_run_has_an_end() -> None:
    assert list(with_key(("trainer", "max_epochs"), -1)) == ["trainer.max_epochs, trainer.max_steps"]
    assert with_key(("trainer", "max_epochs"), -1, "trainer.max_steps=3") == {}
    assert list(with_key(("trainer", "check_val_every_n_epoch"), None)) == ["trainer.val_check_interval"]


@pytest.mark.parametrize("name", ["sam", "keys", "a b", "type"])
def test_names_that_a_variant_cannot_have(name: str) -> None:
    head = resolve(composed("train"))[0]["variants"]["hq"]
    assert list(with_key(("variants", name), head)) == [f"variants.{name}"]


def test_a_loss_of_its_own_belongs_to_a_variant() -> None:
    loss = resolve(composed("train"))[0]["loss"]
    assert list(with_key(("variant_losses", "nobody"), loss)) == ["variant_losses.nobody"]
    both_zero = with_key(("loss",), {**loss, "bce_weight": 0, "dice_weight": 0})
    assert list(both_zero) == ["loss.bce_weight"]


LOOKS = {
    "albumentations.Normalize": "normalises the image itself",
    "albumentations.ToFloat": "range of the pixels",
    "albumentations.pytorch.ToTensorV2": "ImageOnlyTransform",
    "albumentations.RandomCrop": "without its masks",
    "albumentations.HorizontalFlip": "without its masks",
    "torch.nn.Identity": "ImageOnlyTransform",
}


@pytest.mark.parametrize("target", LOOKS)
def test_appearances_that_move_or_normalise_are_refused(target: str) -> None:
    look = {"_target_": target, **({"height": 8, "width": 8} if target.endswith("RandomCrop") else {})}
    assert LOOKS[target] in with_key(("augmentation", "appearance"), [look])["augmentation.appearance[0]"]
    nested = {"_target_": "albumentations.OneOf", "transforms": [look]}
    assert "augmentation.appearance[0].transforms[0]" in with_key(("augmentation", "appearance"), [nested])


def test_appearances_of_colour_are_taken() -> None:
    nested = {"_target_": "albumentations.OneOf", "transforms": [{"_target_": "albumentations.ToGray", "p": 0.5}]}
    assert with_key(("augmentation", "appearance"), [nested]) == {}
    for value in (None, "ToGray", ["ToGray"], {}):
        assert "augmentation.appearance" in with_key(("augmentation", "appearance"), value)


@pytest.mark.parametrize("transform", [A.Normalize(), ToTensorV2(), A.Rotate(), A.OneOf([A.ToFloat()])])
def test_appearances_are_checked_from_python_too(transform: object) -> None:
    with pytest.raises(ConfigError, match=r"^augmentation\.appearance\[1\].*: expected a transform"):
        Augmentation(16, appearance=[A.ToGray(), transform])


class Brightened(A.ImageOnlyTransform):
    def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
        return img / 255


def test_an_appearance_of_ones_own_keeps_uint8() -> None:
    augmentation = Augmentation(16, appearance=[Brightened(p=1)])
    with pytest.raises(ConfigError, match=r"^augmentation\.appearance: expected .* uint8 .*; got .* of float64"):
        augmentation(np.zeros((16, 16, 3), np.uint8), np.ones((1, 16, 16), np.float32), seed=0)


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("variants.hq", "torch.nn.Identity"),
        ("variants.hq", "builtins.dict"),
        ("callbacks.mine", "builtins.dict"),
        ("callbacks.mine", "torch.optim.Adam"),
        ("logger.mine", "lightning.pytorch.callbacks.Timer"),
        ("loss", "builtins.dict"),
        ("variant_losses.hq", "builtins.list"),
        ("optimizer", "torch.nn.Identity"),
        ("scheduler", "torch.optim.Adam"),
        ("sam", "torch.nn.Identity"),
        ("trainer", "builtins.dict"),
        ("data", "builtins.dict"),
        ("augmentation", "builtins.dict"),
        ("prompts", "torch.nn.Identity"),
        ("val_prompts.mine", "builtins.dict"),
    ],
)
def test_a_class_of_another_kind_is_refused(key: str, target: str) -> None:
    node = {"_target_": target, **({"_partial_": True} if key in ("optimizer", "scheduler") else {})}
    found = with_key(tuple(key.split(".")), node)
    assert found[f"{key}._target_"].startswith(("expected a subclass of ", "expected a class with the method "))


def test_a_function_may_return_a_part() -> None:
    node = {"_target_": "schema.parts.make_callback"}
    assert with_key(("callbacks", "mine"), node) == {}


@pytest.mark.parametrize(
    ("sam", "heads"),
    [("tiny_random", 3), ("vit_b", 5), ("nano_vit", [1, 2, 5, 6]), ("vit_tiny", [3, 4, 5, 10])],
)
def test_attention_heads_divide_the_width(sam: str, heads: Any) -> None:
    found = with_key(("sam", "encoder", "num_heads"), heads, f"sam={sam}")
    assert list(found) == ["sam.encoder.num_heads"]
    assert "expected divisors of sam.encoder.embed_dim" in found["sam.encoder.num_heads"]
