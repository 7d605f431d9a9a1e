"""Checks nodes with a ``_target_``: it can be imported, and accepts the arguments of the config."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from hqsam_lightning.checks import Expected, anything, boolean, choice, list_of, show
from hqsam_lightning.data import DataSets, PromptedDataModule
from hqsam_lightning.evaluation.suites import Suite
from hqsam_lightning.heads import Head
from hqsam_lightning.metrics.registry import Metric
from hqsam_lightning.overrides import near
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.schema.annotations import signature_of
from hqsam_lightning.schema.keys import Found, entries, first_match, first_pattern
from hqsam_lightning.schema.target_rules import expected_of


@dataclass(frozen=True)
class Part:
    """What the node of a key has to be.

    Attributes:
        parent: base class of its target, unless that is a function.
        method: that the class of its target has to have.
        is_partial: whether it is called later, with further arguments.
        supplied: names of the arguments that the code supplies, not the config; or their places.
        own_keys: keys beside the target that are not arguments of it, unless it has one of that name.
    """

    parent: type = object
    method: str | None = None
    is_partial: bool = False
    supplied: tuple[str, ...] | slice = ()
    own_keys: tuple[str, ...] = ()


PARTS: Mapping[str, Part] = {
    "sam": Part(FrozenSam),
    "sam.encoder": Part(is_partial=True, supplied=("image_size", "patch_size", "out_channels")),
    "data": Part(DataSets),
    "augmentation": Part(method="__call__", supplied=("image_size",)),
    "prompts": Part(method="draw"),
    "val_prompts.*": Part(method="draw"),
    "loss": Part(nn.Module),
    "variant_losses.*": Part(nn.Module),
    "optimizer": Part(Optimizer, is_partial=True, supplied=slice(1)),
    "scheduler": Part(LRScheduler, is_partial=True, supplied=slice(1)),
    "ema": Part(),
    "datamodule": Part(PromptedDataModule, is_partial=True, supplied=slice(None)),
    "module": Part(LightningModule, is_partial=True, supplied=slice(None)),
    "trainer": Part(Trainer, supplied=("callbacks", "logger")),
    "callbacks.*": Part(Callback),
    "logger.*": Part(Logger),
    "variants.*": Part(Head, supplied=("sam", "seed"), own_keys=("weights",)),
    "metrics.*": Part(Metric),
    "metrics.*.function": Part(is_partial=True, supplied=("pred", "target", "ignore")),
    "suite": Part(Suite),
}
"""The keys that hold a node with a ``_target_``."""
SPECIAL: Mapping[str, Expected] = {
    "_recursive_": boolean(),
    "_convert_": choice("none", "partial", "object", "all"),
    "_args_": list_of(anything()),
}
"""Keys that Hydra itself reads."""
BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def nodes_of(values: Any, prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the full key and the values of every node with a ``_target_``."""
    if isinstance(values, dict):
        if "_target_" in values:
            yield prefix, values
        for name, value in values.items():
            yield from nodes_of(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(values, list):
        for place, value in enumerate(values):
            yield from nodes_of(value, f"{prefix}[{place}]")


def locate(key: str, node: Mapping[str, Any]) -> Callable[..., Any] | None:
    """Imports the target of a node; None if there is none of that name.

    Args:
        key: of the node.
        node: with ``_target_``.

    Raises:
        Exception: what a module that is there raises while it is imported; it is its author's to see.
    """
    target = node.get("_target_")
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")):
        return None
    found = _locate(target)
    return found if callable(found) else None


@lru_cache(maxsize=512)
def _locate(target: str) -> Any:
    parts = target.split(".")
    found: Any = None
    for depth, part in enumerate(parts):
        if found is not None and hasattr(found, part):
            found = getattr(found, part)
            continue
        if found is not None and not isinstance(found, ModuleType):
            return None
        name = ".".join(parts[: depth + 1])
        try:
            found = import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
                return None
            raise
    return found


def target_problems(values: dict[str, Any]) -> Iterator[Found]:
    """Yields the problems of the nodes of a config, and the keys that should hold a node and do not."""
    for key, value in entries(values):
        pattern = first_pattern(tuple(PARTS), key)
        if pattern is not None and not _is_node(value):
            remedy = f"; leave it out with ~{key}" if "*" in pattern else ""
            yield key, f"expected a mapping with a _target_; got {show(value)}{remedy}"
    for key, node in nodes_of(values):
        yield from _node_problems(key, node, first_match(PARTS, key) or Part())


def _node_problems(key: str, node: Mapping[str, Any], part: Part) -> Iterator[Found]:
    target = locate(key, node)
    if target is None:
        wanted = "the full name of a class or function that can be imported"
        yield f"{key}._target_", f"expected {wanted}; got {show(node['_target_'])}"
        return
    given = {"_partial_": False, **node}
    for name, expected in {"_partial_": choice(part.is_partial), **SPECIAL}.items():
        if name in given and (problem := expected.problem(given[name])):
            yield f"{key}.{name}", problem
    if (signature := signature_of(target)) is not None:
        yield from _argument_problems(key, node, target, signature, part)
    if isinstance(target, type) and (problem := _kind_problem(target, part)):
        yield f"{key}._target_", f"{problem}; got {show(node['_target_'])}"


def _kind_problem(kind: type, part: Part) -> str | None:
    if not issubclass(kind, part.parent):
        name = f"{part.parent.__module__}.{part.parent.__qualname__}"
        return f"expected a subclass of {name}, or a function that returns one"
    if part.method and not any(part.method in vars(each) for each in kind.__mro__):
        return f"expected a class with the method {part.method}"
    return None


def _argument_problems(
    key: str, node: Mapping[str, Any], target: Callable[..., Any], signature: inspect.Signature, part: Part
) -> Iterator[Found]:
    parameters = signature.parameters.values()
    known = {parameter.name for parameter in parameters if parameter.kind in BY_NAME}
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    supplied = tuple(signature.parameters)[part.supplied] if isinstance(part.supplied, slice) else part.supplied
    expected, own = expected_of(target), set(part.own_keys) - known
    given = {name: value for name, value in node.items() if not str(name).startswith("_") and name not in own}
    for name, value in given.items():
        if name not in known and not takes_any:
            choices = sorted(known - set(supplied))
            yield f"{key}.{name}", f"{node['_target_']} has no such argument; {near(str(name), choices)}"
        elif name in expected and not _is_node(value) and (problem := expected[name].problem(value)):
            yield f"{key}.{name}", problem
    if "_args_" in node:
        return
    for name in supplied:
        if name not in signature.parameters and not takes_any:
            yield key, f"expected a target that takes the arguments {', '.join(supplied)}; it has no {name}"
    for name, parameter in signature.parameters.items():
        is_needed = parameter.default is parameter.empty and parameter.kind in BY_NAME
        if is_needed and name not in given and name not in supplied:
            yield f"{key}.{name}", "expected a value, which the target needs; got none"


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value
