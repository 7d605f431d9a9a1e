"""Nodes with a ``_target_``: it can be imported, and takes the arguments that the config gives it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any

from hqsam_lightning.checks import anything, boolean, choice, list_of, show
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.overrides import near
from hqsam_lightning.schema.annotations import annotated, signature_of
from hqsam_lightning.schema.patterns import matches
from hqsam_lightning.schema.resolving import Problems, entries
from hqsam_lightning.schema.target_rules import rules_of

NODES = (
    *("sam", "sam.encoder", "data", "augmentation", "prompts", "val_prompts", "loss", "optimizer", "scheduler"),
    *("trainer", "ema", "callbacks.*", "logger.*", "variants.*", "also_val_prompts.*", "own_losses.*"),
)
"""Keys that hold a node with a ``_target_``."""
PARTIALS = ("optimizer", "scheduler", "sam.encoder")
"""Nodes that are called later, with what the run has made by then."""
SUPPLIED: Mapping[str, tuple[str, ...]] = {
    "variants.*": ("sam", "seed"),
    "head": ("sam", "seed"),
    "augmentation": ("image_size",),
    "trainer": ("callbacks", "logger"),
    "sam.encoder": ("image_size", "patch_size", "out_channels"),
}
"""Arguments that the code gives, not the config."""
OWN_KEYS: Mapping[str, tuple[str, ...]] = {"data": ("cache", "views", "decode")}
"""Keys beside a target that are not arguments of it."""
SPECIAL = {
    "_recursive_": boolean(),
    "_convert_": choice("none", "partial", "object", "all"),
    "_args_": list_of(anything()),
}


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
    """Imports a node's target; None where there is none of its name.

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


def check_nodes(values: dict[str, Any], problems: Problems) -> None:
    """Adds what is wrong with the nodes of a config.

    Args:
        values: of the config.
        problems: by key; a key that has one keeps it.
    """
    for key, node in nodes_of(values):
        if f"{key}._target_" in problems:
            continue
        target = locate(key, node)
        if target is None:
            problems[f"{key}._target_"] = (
                f"expected the full name of a class or function that can be imported; got {show(node['_target_'])}"
            )
            continue
        _check_specials(key, node, problems)
        _check_arguments(key, node, target, problems)


def _check_specials(key: str, node: Mapping[str, Any], problems: Problems) -> None:
    partial, is_wanted = node.get("_partial_", False), key in PARTIALS
    if partial is not is_wanted:
        problems.setdefault(f"{key}._partial_", f"expected {str(is_wanted).lower()}; got {show(partial)}")
    for name, expected in SPECIAL.items():
        if name in node and not expected.accepts(node[name]):
            problems.setdefault(f"{key}.{name}", f"expected {expected.text}; got {show(node[name])}")


def _check_arguments(key: str, node: Mapping[str, Any], target: Callable[..., Any], problems: Problems) -> None:
    signature = signature_of(target)
    if signature is None:
        return
    known = _names(signature)
    own = OWN_KEYS.get(key, ())
    given = {name: value for name, value in node.items() if not str(name).startswith("_") and name not in own}
    expected = {**annotated(target), **rules_of(target)}
    for name, value in given.items():
        problem = None
        if known is not None and name not in known:
            choices = sorted(known - set(_supplied(key, signature)))
            problem = f"{node['_target_']} has no such argument; {near(str(name), choices)}"
        elif name in expected and not _is_node(value) and not expected[name].accepts(value):
            problem = f"expected {expected[name].text}; got {show(value)}"
        if problem:
            problems.setdefault(f"{key}.{name}", problem)
    if "_args_" not in node:
        _check_missing(key, set(given), signature, problems)


def _check_missing(key: str, given: set[str], signature: inspect.Signature, problems: Problems) -> None:
    supplied = _supplied(key, signature)
    parameters = list(signature.parameters.values())
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    for name in supplied:
        if not takes_any and name not in signature.parameters:
            problems.setdefault(
                key, f"expected a target that takes the arguments {', '.join(supplied)}; it has no {name}"
            )
    for parameter in parameters:
        is_required = parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        )
        if is_required and parameter.name not in given and parameter.name not in supplied:
            problems.setdefault(f"{key}.{parameter.name}", "expected a value, which the target needs; got none")


def _supplied(key: str, signature: inspect.Signature) -> tuple[str, ...]:
    """Names of the arguments that the code gives."""
    if key in ("optimizer", "scheduler"):
        # their first one, parameters or optimiser, by position
        return tuple(signature.parameters)[:1]
    return next((names for pattern, names in SUPPLIED.items() if matches(pattern, key)), ())


def require_nodes(values: dict[str, Any], problems: Problems) -> None:
    """Adds the keys that should hold a node with a ``_target_`` and do not."""
    for key, value in entries(values):
        pattern = next((pattern for pattern in NODES if matches(pattern, key)), None)
        if pattern is not None and not _is_node(value):
            remedy = f"; leave it out with ~{key}" if "*" in pattern else ""
            problems.setdefault(key, f"expected a mapping with a _target_; got {show(value)}{remedy}")


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value


def _names(signature: inspect.Signature) -> set[str] | None:
    """Names that can be given by keyword; None where any can."""
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return None
    takes = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name for name, parameter in signature.parameters.items() if parameter.kind in takes}


def one_error(problems: Problems) -> ConfigError:
    """The error for all problems, a line each."""
    lines = [f"{key}: {problem}" for key, problem in problems.items()]
    if len(lines) == 1:
        return ConfigError(lines[0])
    return ConfigError("\n".join([f"{len(lines)} keys of the config have values that cannot work:", *lines]))
