"""What metrics.json must hold for a report: checked where it is read, so that no table shows what cannot be."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hqsam_lightning.checks import Expected, boolean, choice, integer, mapping_of, number, optional, show

LARGEST = 2**63
DEEPEST = 50

_WORDS = Expected("text that is not empty", lambda value: isinstance(value, str) and bool(value))
_MAPPING = Expected("a mapping", lambda value: isinstance(value, dict))
_COUNT = integer(0)
_NUMBER = optional(number(0))
_METRIC = {"label": _WORDS, "percent": boolean(), "greater_is_better": boolean()}
REQUIRED = {
    "run.name": _WORDS,
    "run.seed": _COUNT,
    "run.sam": _WORDS,
    "run.sam_sha256": Expected("64 hexadecimal digits", lambda value: _is_like(value, "[0-9a-f]{64}")),
    "run.output": choice("hq", "sum"),
    "config.sam.precision": _WORDS,
    "config.val_prompts": _MAPPING,
    "config.metrics": _MAPPING,
    "metrics": _MAPPING,
    "files": _MAPPING,
}
"""By dotted key."""
OPTIONAL = {
    **{f"run.{key}": _WORDS for key in ("command", "batch", "hqsam_lightning", "torch")},
    "run.data": Expected("text", lambda value: isinstance(value, str)),
    "run.date": Expected("a date such as 2026-01-31", lambda value: _is_like(value, r"\d{4}-\d{2}-\d{2}")),
    **{f"run.{key}": _COUNT for key in ("epochs", "steps")},
    **{f"run.{key}": _NUMBER for key in ("fit_seconds", "step_seconds", "peak_memory_gib")},
    **{f"run.{key}": mapping_of(_COUNT) for key in ("trainable_parameters", "total_parameters")},
    "run.begun_from": mapping_of(_WORDS),
    **{f"run.{key}": mapping_of(mapping_of(_NUMBER)) for key in ("inference", "frames")},
    "config.evaluation": _MAPPING,
}


def find_fault(body: Mapping[str, Any]) -> str | None:
    """What is wrong with the body of metrics.json, such as "run.seed: expected an integer >= 0; got 'a'"; or None."""
    return next(_odd_values(body, "", 0), None) or next(_faults(body), None)


def _faults(body: Mapping[str, Any]) -> Iterator[str]:
    for key, expected in {**REQUIRED, **OPTIONAL}.items():
        value: Any = body
        for name in key.split("."):
            value = value.get(name, ...) if isinstance(value, dict) else ...
        if value is ... and key in REQUIRED:
            yield f"{key}: expected {expected.text}; got none"
        elif value is not ... and (problem := expected.problem(value)):
            yield f"{key}: {problem}"
    # only reached where it is a mapping: the first fault counts
    for name, facts in body["metrics"].items():
        if not _is_metric(facts):
            yield f"metrics.{name}: expected {', '.join(_METRIC)}, got {show(facts)}"


def _odd_values(value: Any, key: str, depth: int) -> Iterator[str]:
    """Numbers that JSON allows and a table does not, and nesting that no config has."""
    if depth > DEEPEST:
        yield f"{key}: expected at most {DEEPEST} levels"
        return
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{key}: expected a finite number, got {value}"
    if isinstance(value, int) and abs(value) >= LARGEST:
        yield f"{key}: expected an integer of 64 bits, got one of {value.bit_length()} bits"
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield from _odd_values(each, f"{key}.{name}" if key else str(name), depth + 1)


def _is_metric(facts: Any) -> bool:
    is_whole = isinstance(facts, dict) and facts.keys() == _METRIC.keys()
    return is_whole and all(expected.accepts(facts[key]) for key, expected in _METRIC.items())


def _is_like(value: Any, pattern: str) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None
