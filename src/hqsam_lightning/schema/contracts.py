"""What several keys of a run have to be together: callbacks, loggers, limits, appearances."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint, ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from hqsam_lightning.checks import show
from hqsam_lightning.data import DataSets
from hqsam_lightning.heads import Head
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.schema.patterns import matches
from hqsam_lightning.schema.resolving import Problems
from hqsam_lightning.schema.targets import locate, nodes_of

CHECKPOINT_STATE = ("monitor", "mode", "every_n_train_steps", "every_n_epochs", "train_time_interval")
"""Arguments by which Lightning tells the states of two `ModelCheckpoint`s apart."""
PARENTS: Mapping[str, type] = {
    "variants.*": Head,
    "callbacks.*": Callback,
    "logger.*": Logger,
    "loss": nn.Module,
    "own_losses.*": nn.Module,
    "optimizer": Optimizer,
    "scheduler": LRScheduler,
    "data": DataSets,
    "sam": FrozenSam,
    "trainer": Trainer,
}
"""What a class that a key names has to be; a function may return one."""
METHODS: Mapping[str, str] = {
    "augmentation": "__call__",
    "prompts": "draw",
    "val_prompts": "draw",
    "also_val_prompts.*": "draw",
}
"""The method that a class needs that a key names."""
VARIANT_NAME = re.compile(r"[A-Za-z0-9_-]+")


def check_run(values: Mapping[str, Any], problems: Problems) -> None:
    """Adds what does not go together in a run's config.

    Args:
        values: resolved.
        problems: by key; a key that has one keeps it, and is not looked at again.
    """
    for check in (
        *(_limits, _validation, _kinds, _callbacks, _strategy, _appearance),
        *(_variants, _losses, _image_size, _attention_heads, _devices),
    ):
        check(values, problems)


def _limits(values: Mapping[str, Any], problems: Problems) -> None:
    trainer = _section(values, "trainer")
    if trainer.get("max_epochs") == -1 and trainer.get("max_steps", -1) == -1 and trainer.get("max_time") is None:
        _add(problems, "trainer.max_epochs, trainer.max_steps", "expected a limit in one of them; got -1 for both")


def _validation(values: Mapping[str, Any], problems: Problems) -> None:
    trainer = _section(values, "trainer")
    every, interval = trainer.get("check_val_every_n_epoch", 1), trainer.get("val_check_interval")
    if every is None and not isinstance(interval, int):
        expected = "an integer where trainer.check_val_every_n_epoch is null"
        _add(problems, "trainer.val_check_interval", f"expected {expected}; got {show(interval)}")


def _devices(values: Mapping[str, Any], problems: Problems) -> None:
    trainer = _section(values, "trainer")
    if trainer.get("accelerator") == "cpu" and trainer.get("devices") == -1:
        _add(problems, "trainer.devices", "expected a number of processes >= 1 with trainer.accelerator=cpu; got -1")
    if trainer.get("accelerator") == "cpu" and isinstance(trainer.get("devices"), list):
        _add(
            problems,
            "trainer.devices",
            f"expected a number of processes >= 1 with trainer.accelerator=cpu; got {show(trainer['devices'])}",
        )


def _kinds(values: Mapping[str, Any], problems: Problems) -> None:
    for key, node in nodes_of(dict(values)):
        kind = locate(key, node)
        problem = _problem_of_kind(key, kind) if isinstance(kind, type) else None
        if problem:
            _add(problems, f"{key}._target_", f"{problem}; got {show(node['_target_'])}")


def _problem_of_kind(key: str, kind: type) -> str | None:
    parent = next((parent for pattern, parent in PARENTS.items() if matches(pattern, key)), object)
    if not issubclass(kind, parent):
        return f"expected a subclass of {parent.__module__}.{parent.__qualname__}, or a function that returns one"
    method = next((method for pattern, method in METHODS.items() if matches(pattern, key)), None)
    if method and not any(method in vars(each) for each in kind.__mro__):
        return f"expected a class with the method {method}"
    return None


def _callbacks(values: Mapping[str, Any], problems: Problems) -> None:
    found = dict(_classes(values, "callbacks"))
    bars = [key for key, kind in found.items() if issubclass(kind, ProgressBar)]
    checkpoints = [key for key, kind in found.items() if issubclass(kind, ModelCheckpoint)]
    rates = [key for key, kind in found.items() if issubclass(kind, LearningRateMonitor)]
    trainer = _section(values, "trainer")
    if len(bars) > 1:
        _add(problems, bars[1], f"expected one progress bar; {bars[0]} is one too; leave one out with ~{bars[0]}")
    if trainer.get("enable_progress_bar") is False and bars:
        _add(
            problems, "trainer.enable_progress_bar", f"expected true beside {bars[0]}; got false; also give ~{bars[0]}"
        )
    if trainer.get("enable_checkpointing") is False and checkpoints:
        remedy = f"; also give {' '.join(f'~{key}' for key in checkpoints)}"
        _add(problems, "trainer.enable_checkpointing", f"expected true beside {checkpoints[0]}; got false{remedy}")
    if rates and not _section(values, "logger"):
        _add(problems, "logger", f"expected a logger for {rates[0]}; got none; also give ~{rates[0]}")
    _same_checkpoints(values, checkpoints, problems)


def _same_checkpoints(values: Mapping[str, Any], keys: list[str], problems: Problems) -> None:
    states: dict[tuple[Any, ...], str] = {}
    for key in keys:
        node = values["callbacks"][key.removeprefix("callbacks.")]
        state = tuple(show(node.get(name)) for name in CHECKPOINT_STATE)
        if state in states:
            what = ", ".join(CHECKPOINT_STATE[:4])
            _add(problems, key, f"expected another {what} than {states[state]}; their states could not be told apart")
        states.setdefault(state, key)


def _strategy(values: Mapping[str, Any], problems: Problems) -> None:
    strategy = _section(values, "trainer").get("strategy")
    if isinstance(strategy, dict) and "_target_" in strategy:
        kind = locate("trainer.strategy", strategy)
        if kind is not None and not _is_class(kind, (DDPStrategy, SingleDeviceStrategy)):
            _add(
                problems,
                "trainer.strategy",
                f"expected DDPStrategy or SingleDeviceStrategy; got {strategy['_target_']}",
            )


def _appearance(values: Mapping[str, Any], problems: Problems) -> None:
    looks = _section(values, "augmentation").get("appearance")
    if looks is None:
        return
    # imported here: albumentations takes a second
    from hqsam_lightning.data.appearance import KEY, appearance_problem

    if not isinstance(looks, list) or not all(isinstance(look, dict) and "_target_" in look for look in looks):
        _add(problems, KEY, f"expected a list of transforms, each with a _target_; got {show(looks)}")
        return
    for key, node in nodes_of(looks, KEY):
        kind = locate(key, node)
        problem = appearance_problem(kind) if isinstance(kind, type) else None
        if problem:
            _add(problems, key, f"expected a transform that changes the appearance alone; got {problem}")


def _variants(values: Mapping[str, Any], problems: Problems) -> None:
    variants = values.get("variants")
    if variants is None:
        return
    if not isinstance(variants, dict) or not variants:
        _add(problems, "variants", f"expected at least one head; got {show(variants)}; add +head@variants.hq=hq")
        return
    for name in variants:
        if not VARIANT_NAME.fullmatch(str(name)) or hasattr(nn.ModuleDict(), str(name)) or name == "sam":
            expected = "another name: letters, digits, - and _, and no name that plain SAM or torch's ModuleDict has"
            _add(problems, f"variants.{name}", f"expected {expected}")


def _losses(values: Mapping[str, Any], problems: Problems) -> None:
    for key, node in {"loss": values.get("loss"), **_members(values, "own_losses")}.items():
        if isinstance(node, dict) and node.get("bce_weight") == 0 and node.get("dice_weight") == 0:
            _add(problems, f"{key}.bce_weight", f"expected above 0 where {key}.dice_weight is 0; got 0")
    variants = _section(values, "variants")
    for key in _members(values, "own_losses"):
        if variants and key.removeprefix("own_losses.") not in variants:
            _add(problems, key, f"expected the name of a variant: {', '.join(sorted(variants))}")


def _image_size(values: Mapping[str, Any], problems: Problems) -> None:
    sam = _section(values, "sam")
    size, patch = sam.get("image_size"), sam.get("patch_size")
    if any(key in problems for key in ("sam.image_size", "sam.patch_size")):
        return
    if isinstance(size, int) and isinstance(patch, int) and size % patch:
        _add(problems, "sam.image_size", f"expected a multiple of sam.patch_size ({patch}); got {size}")


def _attention_heads(values: Mapping[str, Any], problems: Problems) -> None:
    encoder = _section(_section(values, "sam"), "encoder")
    for width in ("embed_dim", "embed_dims"):
        sizes, heads = _as_list(encoder.get(width)), _as_list(encoder.get("num_heads"))
        if any(f"sam.encoder.{name}" in problems for name in (width, "num_heads")):
            return
        if any(size % number for size, number in zip(sizes, heads, strict=False)):
            expected = f"divisors of sam.encoder.{width} ({show(encoder[width])})"
            _add(problems, "sam.encoder.num_heads", f"expected {expected}; got {show(encoder['num_heads'])}")


def _as_list(value: Any) -> list[int]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, int)]


def _classes(values: Mapping[str, Any], section: str) -> Iterator[tuple[str, type]]:
    for key, node in _members(values, section).items():
        kind = locate(key, node) if isinstance(node, dict) else None
        if isinstance(kind, type):
            yield key, kind


def _members(values: Mapping[str, Any], section: str) -> dict[str, Any]:
    return {f"{section}.{name}": node for name, node in _section(values, section).items()}


def _section(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = values.get(name)
    return section if isinstance(section, dict) else {}


def _is_class(kind: Callable[..., Any], parents: tuple[type, ...]) -> bool:
    return isinstance(kind, type) and issubclass(kind, parents)


def _add(problems: Problems, key: str, problem: str) -> None:
    problems.setdefault(key, problem)
