"""Patterns of dotted keys: ``*`` is one part, ``**`` any number of parts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeVar

Value = TypeVar("Value")


@lru_cache(maxsize=4096)
def matches(pattern: str, key: str) -> bool:
    """Whether a dotted key matches a pattern, e.g. ``variants.*.weights`` or ``data.**.max_masks``."""
    return _compiled(pattern).fullmatch(key) is not None


def first_match(values: Mapping[str, Value], key: str) -> Value | None:
    """The value of the first pattern that the key matches, if there is one."""
    return next((value for pattern, value in values.items() if matches(pattern, key)), None)


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(map(_expression, pattern.split("."))).removesuffix("\\."))


def _expression(part: str) -> str:
    if part == "**":
        return r"(?:[^.]+\.)*"
    if part == "*":
        return r"[^.]+\."
    return re.escape(part).replace(r"\*", "[^.]*") + r"\."
