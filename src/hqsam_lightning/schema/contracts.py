"""Constraints between several keys of a run: callbacks, loggers, limits, appearances."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from lightning.pytorch.callbacks import Checkpoint, LearningRateMonitor, ModelCheckpoint, ProgressBar
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import nn

from hqsam_lightning.checks import show
from hqsam_lightning.schema.keys import Found
from hqsam_lightning.schema.targets import locate, nodes_of

CHECKPOINT_STATE = ("monitor", "mode", "every_n_train_steps", "every_n_epochs", "train_time_interval")
"""Arguments by which Lightning distinguishes the states of two `ModelCheckpoint`s."""
VARIANT_NAME = re.compile(r"[A-Za-z0-9_-]+")


def contract_problems(values: Mapping[str, Any]) -> Iterator[Found]:
    """Yields the keys of a run's config that conflict with others."""
    for find in (
        *(_limits, _validation, _devices, _callbacks, _same_checkpoints, _strategy, _appearance),
        *(_variants, _losses, _image_size, _attention_heads),
    ):
        yield from find(values)


def _limits(values: Mapping[str, Any]) -> Iterator[Found]:
    trainer = _section(values, "trainer")
    if trainer.get("max_epochs") == -1 and trainer.get("max_steps", -1) == -1 and trainer.get("max_time") is None:
        yield "trainer.max_epochs, trainer.max_steps", "expected a limit in one of them; got -1 for both"


def _validation(values: Mapping[str, Any]) -> Iterator[Found]:
    trainer = _section(values, "trainer")
    interval = trainer.get("val_check_interval")
    if trainer.get("check_val_every_n_epoch", 1) is None and not isinstance(interval, int):
        expected = "an integer where trainer.check_val_every_n_epoch is null"
        yield "trainer.val_check_interval", f"expected {expected}; got {show(interval)}"


def _devices(values: Mapping[str, Any]) -> Iterator[Found]:
    trainer = _section(values, "trainer")
    devices = trainer.get("devices")
    if trainer.get("accelerator") == "cpu" and (devices == -1 or isinstance(devices, list)):
        expected = "a number of processes >= 1 with trainer.accelerator=cpu"
        yield "trainer.devices", f"expected {expected}; got {show(devices)}"


def _callbacks(values: Mapping[str, Any]) -> Iterator[Found]:
    bars, checkpoints, rates = (_callbacks_of(values, kind) for kind in (ProgressBar, Checkpoint, LearningRateMonitor))
    trainer = _section(values, "trainer")
    if len(bars) > 1:
        yield bars[1], f"expected one progress bar; {bars[0]} is one too; leave one out with ~{bars[0]}"
    for name, found in (("enable_progress_bar", bars), ("enable_checkpointing", checkpoints)):
        if trainer.get(name) is False and found:
            remedy = f"also give {' '.join(f'~{key}' for key in found)}"
            yield f"trainer.{name}", f"expected true beside {found[0]}; got false; {remedy}"
    if rates and not _section(values, "logger"):
        yield "logger", f"expected a logger for {rates[0]}; got none; also give ~{rates[0]}"


def _same_checkpoints(values: Mapping[str, Any]) -> Iterator[Found]:
    states: dict[tuple[str, ...], str] = {}
    for key in _callbacks_of(values, ModelCheckpoint):
        node = values["callbacks"][key.removeprefix("callbacks.")]
        first = states.setdefault(tuple(show(node.get(name)) for name in CHECKPOINT_STATE), key)
        if first != key:
            what = ", ".join(CHECKPOINT_STATE[:4])
            yield key, f"expected another {what} than {first}; their states could not be told apart"


def _strategy(values: Mapping[str, Any]) -> Iterator[Found]:
    strategy = _section(values, "trainer").get("strategy")
    if not isinstance(strategy, dict):
        return
    kind = locate("trainer.strategy", strategy)
    if kind and not (isinstance(kind, type) and issubclass(kind, DDPStrategy | SingleDeviceStrategy)):
        yield "trainer.strategy", f"expected DDPStrategy or SingleDeviceStrategy; got {strategy['_target_']}"


def _appearance(values: Mapping[str, Any]) -> Iterator[Found]:
    looks = _section(values, "augmentation").get("appearance")
    if looks is None:
        return
    # imported here: albumentations takes a second
    from hqsam_lightning.data.appearance import KEY, appearance_problem

    if not isinstance(looks, list) or not all(isinstance(look, dict) and "_target_" in look for look in looks):
        yield KEY, f"expected a list of transforms, each with a _target_; got {show(looks)}"
        return
    for key, node in nodes_of(looks, KEY):
        kind = locate(key, node)
        problem = appearance_problem(kind) if isinstance(kind, type) else None
        if problem:
            yield key, f"expected a transform that changes the appearance alone; got {problem}"


def _variants(values: Mapping[str, Any]) -> Iterator[Found]:
    variants = values.get("variants", {})
    if not isinstance(variants, dict) or (not variants and "variants" in values):
        yield "variants", f"expected at least one head; got {show(variants)}; add +head@variants.hq=hq"
        return
    for name in map(str, variants):
        if not VARIANT_NAME.fullmatch(name) or hasattr(nn.ModuleDict(), name) or name == "sam":
            expected = "another name: letters, digits, - and _, and no name that plain SAM or torch's ModuleDict has"
            yield f"variants.{name}", f"expected {expected}"


def _losses(values: Mapping[str, Any]) -> Iterator[Found]:
    own, variants = _section(values, "variant_losses"), _section(values, "variants")
    for key, node in {"loss": values.get("loss"), **{f"variant_losses.{name}": own[name] for name in own}}.items():
        if isinstance(node, dict) and node.get("bce_weight") == 0 and node.get("dice_weight") == 0:
            yield f"{key}.bce_weight", f"expected above 0 where {key}.dice_weight is 0; got 0"
    for name in own:
        if variants and name not in variants:
            yield f"variant_losses.{name}", f"expected the name of a variant: {', '.join(sorted(variants))}"


def _image_size(values: Mapping[str, Any]) -> Iterator[Found]:
    sam = _section(values, "sam")
    size, patch = sam.get("image_size"), sam.get("patch_size")
    if isinstance(size, int) and isinstance(patch, int) and 0 < patch <= size and size % patch:
        yield "sam.image_size", f"expected a multiple of sam.patch_size ({patch}); got {size}"


def _attention_heads(values: Mapping[str, Any]) -> Iterator[Found]:
    encoder = _section(_section(values, "sam"), "encoder")
    for width in ("embed_dim", "embed_dims"):
        sizes, heads = _integers(encoder.get(width)), _integers(encoder.get("num_heads"))
        if any(number < 1 or size % number for size, number in zip(sizes, heads, strict=False)):
            expected = f"divisors of sam.encoder.{width} ({show(encoder[width])})"
            yield "sam.encoder.num_heads", f"expected {expected}; got {show(encoder['num_heads'])}"


def _integers(value: Any) -> list[int]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, int)]


def _callbacks_of(values: Mapping[str, Any], parent: type) -> list[str]:
    """Keys of the callbacks whose class is derived from the parent."""
    nodes = {f"callbacks.{name}": node for name, node in _section(values, "callbacks").items()}
    kinds = {key: locate(key, node) for key, node in nodes.items() if isinstance(node, dict)}
    return [key for key, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, parent)]


def _section(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = values.get(name)
    return section if isinstance(section, dict) else {}
