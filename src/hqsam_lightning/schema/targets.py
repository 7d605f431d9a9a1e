"""Checks nodes with a ``_target_``: it can be imported, and accepts the arguments of the config."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any

from hqsam_lightning.checks import anything, boolean, choice, list_of, show
from hqsam_lightning.overrides import near
from hqsam_lightning.schema.annotations import signature_of
from hqsam_lightning.schema.patterns import first_match, matches
from hqsam_lightning.schema.resolving import Found, entries
from hqsam_lightning.schema.target_rules import expected_of

NODES = (
    *("sam", "sam.encoder", "data", "augmentation", "prompts", "loss", "optimizer", "scheduler"),
    *(
        "datamodule",
        "module",
        "trainer",
        "ema",
        "callbacks.*",
        "logger.*",
        "variants.*",
        "val_prompts.*",
        "variant_losses.*",
    ),
    *("metrics.*", "metrics.*.function", "suite"),
)
"""Keys that hold a node with a ``_target_``."""
PARTIALS = ("optimizer", "scheduler", "sam.encoder", "datamodule", "module", "metrics.*.function")
"""Nodes that are called later, with further arguments."""
SUPPLIED: Mapping[str, tuple[str, ...]] = {
    "variants.*": ("sam", "seed"),
    "head": ("sam", "seed"),
    "augmentation": ("image_size",),
    "trainer": ("callbacks", "logger"),
    "sam.encoder": ("image_size", "patch_size", "out_channels"),
    "metrics.*.function": ("pred", "target", "ignore"),
}
"""Arguments that the code supplies, not the config."""
OWN_KEYS: Mapping[str, tuple[str, ...]] = {
    "variants.*": ("weights",),
    "head": ("weights",),
}
"""Keys beside a target that are not arguments of it, unless it has one of that name."""
SPECIAL = {
    "_recursive_": boolean(),
    "_convert_": choice("none", "partial", "object", "all"),
    "_args_": list_of(anything()),
}
DEFAULTS = {"_partial_": False, "_recursive_": True, "_convert_": "none", "_args_": []}
"""Of the keys that Hydra itself reads."""
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
        pattern = next((pattern for pattern in NODES if matches(pattern, key)), None)
        if pattern is not None and not _is_node(value):
            remedy = f"; leave it out with ~{key}" if "*" in pattern else ""
            yield key, f"expected a mapping with a _target_; got {show(value)}{remedy}"
    for key, node in nodes_of(values):
        target = locate(key, node)
        if target is None:
            wanted = "the full name of a class or function that can be imported"
            yield f"{key}._target_", f"expected {wanted}; got {show(node['_target_'])}"
            continue
        specials = {"_partial_": choice(any(matches(pattern, key) for pattern in PARTIALS)), **SPECIAL}
        for name, expected in specials.items():
            if problem := expected.problem(node.get(name, DEFAULTS[name])):
                yield f"{key}.{name}", problem
        if (signature := signature_of(target)) is not None:
            yield from _argument_problems(key, node, target, signature)


def _argument_problems(
    key: str, node: Mapping[str, Any], target: Callable[..., Any], signature: inspect.Signature
) -> Iterator[Found]:
    parameters = signature.parameters.values()
    known = {parameter.name for parameter in parameters if parameter.kind in BY_NAME}
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    supplied, expected = _supplied(key, signature), expected_of(target)
    own = set(first_match(OWN_KEYS, key) or ()) - known
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


def _supplied(key: str, signature: inspect.Signature) -> tuple[str, ...]:
    """Names of the arguments that the code supplies."""
    if key in ("optimizer", "scheduler"):
        # their first one, parameters or optimiser, by position
        return tuple(signature.parameters)[:1]
    if key in ("datamodule", "module"):
        return tuple(signature.parameters)
    return first_match(SUPPLIED, key) or ()


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value
