"""The keys of a config: their values, those that cannot be resolved, and patterns of dotted keys.

In a pattern ``*`` is one part, ``**`` any number of parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

Found = tuple[str, str]
"""A full key, and what is wrong with its value."""
Problems = dict[str, str]
"""What is wrong, by full key."""
Value = TypeVar("Value")


def resolve(config: DictConfig) -> tuple[dict[str, Any], Problems]:
    """Resolves every key.

    Args:
        config: as composed.

    Returns:
        Plain values, without the keys that cannot be resolved or have no value; and the problems of these.
    """
    problems: Problems = {}
    try:
        plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException:
        plain = _resolve_node(config, "", problems)
    return plain, problems


def entries(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the full key and the value of every entry of nested mappings, parents first."""
    for name, value in values.items():
        key = f"{prefix}.{name}" if prefix else str(name)
        yield key, value
        if isinstance(value, dict):
            yield from entries(value, key)


@lru_cache(maxsize=16384)
def first_pattern(patterns: tuple[str, ...], key: str) -> str | None:
    """The first pattern that a dotted key matches, if any, e.g. ``variants.*.weights`` or ``data.**.max_masks``."""
    return next((pattern for pattern in patterns if _compiled(pattern).fullmatch(key)), None)


def first_match(values: Mapping[str, Value], key: str) -> Value | None:
    """The value of the first pattern that the key matches, if there is one."""
    pattern = first_pattern(tuple(values), key)
    return None if pattern is None else values[pattern]


def matches(pattern: str, key: str) -> bool:
    """Whether a dotted key matches a pattern."""
    return first_pattern((pattern,), key) is not None


def _resolve_node(node: DictConfig | ListConfig, prefix: str, problems: Problems) -> Any:
    """Resolves key by key, which is slow, to find the keys that cannot be resolved."""
    is_list = isinstance(node, ListConfig)
    values: dict[Any, Any] = {}
    for name in range(len(node)) if is_list else list(node):
        key = f"{prefix}[{name}]" if is_list else f"{prefix}.{name}" if prefix else str(name)
        if OmegaConf.is_missing(node, name):
            problems[key] = f"expected a value; got none (???); set {key}=VALUE"
            continue
        try:
            value = node[name]
        except OmegaConfBaseException as error:
            reason = str(error).splitlines()[0]
            problems[key] = f"expected a value, or a reference to a key that is there; got one that fails: {reason}"
            continue
        is_node = isinstance(value, DictConfig | ListConfig)
        values[name] = _resolve_node(value, key, problems) if is_node else value
    return list(values.values()) if is_list else values


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(map(_expression, pattern.split("."))).removesuffix("\\."))


def _expression(part: str) -> str:
    if part == "**":
        return r"(?:[^.]+\.)*"
    if part == "*":
        return r"[^.]+\."
    return re.escape(part).replace(r"\*", "[^.]*") + r"\."
