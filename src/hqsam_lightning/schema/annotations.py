"""Derives types of arguments from the annotations of a class or function."""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Union

from hqsam_lightning.checks import (
    Expected,
    anything,
    boolean,
    choice,
    either,
    integer,
    list_of,
    mapping_of,
    number,
    optional,
    path,
    text,
)

SCALARS: dict[Any, Expected] = {
    bool: boolean(),
    int: integer(),
    float: number(),
    str: text(),
    Path: path(),
    type(None): choice(None),
}
LISTS = (
    *(list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Collection),
    *(collections.abc.Iterable, collections.abc.MutableSequence),
)
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


@lru_cache(maxsize=512)
def signature_of(target: Callable[..., Any]) -> inspect.Signature | None:
    """The signature of a call to the target; None if Python cannot tell."""
    try:
        return inspect.signature(target)
    except (TypeError, ValueError):
        return None


@lru_cache(maxsize=512)
def annotated(target: Callable[..., Any]) -> dict[str, Expected]:
    """Expectations by argument; arguments whose type a config cannot express are left out."""
    signature, hints = signature_of(target), _hints_of(target)
    found: dict[str, Expected] = {}
    for name, parameter in (signature.parameters if signature else {}).items():
        expected = of_annotation(hints.get(name, Any))
        if expected is not None:
            is_optional = parameter.default is None and not expected.accepts(None)
            found[name] = optional(expected) if is_optional else expected
    return found


def path_arguments(target: Callable[..., Any]) -> set[str]:
    """The arguments that are annotated as a `Path`, alone or among others."""
    return {name for name, hint in _hints_of(target).items() if _takes_path(hint)}


def _takes_path(hint: Any) -> bool:
    return hint is Path or any(_takes_path(part) for part in typing.get_args(hint))


@lru_cache(maxsize=512)
def _hints_of(target: Callable[..., Any]) -> dict[str, Any]:
    """Annotations by argument; none if they use names that are imported for type checkers only."""
    try:
        return typing.get_type_hints(inspect.unwrap(target.__init__ if inspect.isclass(target) else target))
    except (AttributeError, NameError, TypeError):
        return {}


def of_annotation(hint: Any) -> Expected | None:
    """The expectation of an annotation; None if it is of a type that a config cannot express."""
    if hint in SCALARS:
        return SCALARS[hint]
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return choice(*parts)
    if origin in (Union, types.UnionType):
        known = [] if any(part is Any or part is object for part in parts) else [of_annotation(part) for part in parts]
        options = [option for option in known if option is not None]
        return either(*options) if any(option is not SCALARS[type(None)] for option in options) else None
    if origin in LISTS or hint in LISTS:
        return _of_list(parts)
    if origin in MAPPINGS or hint in MAPPINGS:
        return mapping_of((of_annotation(parts[1]) if len(parts) == 2 else None) or anything())
    return None


def _of_list(parts: tuple[Any, ...]) -> Expected:
    kinds = {part for part in parts if part is not Ellipsis}
    item = of_annotation(next(iter(kinds))) if len(kinds) == 1 else None
    length = len(parts) if len(parts) > 1 and Ellipsis not in parts else None
    return list_of(item or anything(), length or 0, length)
