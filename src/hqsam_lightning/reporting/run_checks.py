"""What metrics.json must hold for a report: checked where it is read, so that no table shows what cannot be."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from hqsam_lightning.checks import show

LARGEST = 2**63
DEEPEST = 50
OUTPUTS = ("hq", "sum")
METRIC = {"label": str, "percent": bool, "greater_is_better": bool}

Check = Callable[[Any], bool]


def find_fault(body: Mapping[str, Any]) -> str | None:
    """What is wrong with a run's metrics, such as "run.seed: expected an integer of 0 or more, got 'a'".

    Args:
        body: of metrics.json, plain values of JSON.

    Returns:
        None where a report can use it.
    """
    for key in ("run", "config", "files", "metrics"):
        if not isinstance(body.get(key), dict):
            return f"{key}: expected a mapping, got {show(body.get(key))}"
    for key, value in body["metrics"].items():
        if not (isinstance(value, dict) and _is_metric(value)):
            return f"metrics.{key}: expected {', '.join(METRIC)}, got {show(value)}"
    return _odd_value(body, "", 0) or _fact_fault(body["run"]) or _config_fault(body["config"])


def _fact_fault(facts: Mapping[str, Any]) -> str | None:
    for key, (expected, check) in {**REQUIRED, **OPTIONAL}.items():
        if key in facts and not check(facts[key]):
            return f"run.{key}: expected {expected}, got {show(facts[key])}"
        if key in REQUIRED and key not in facts:
            return f"run.{key}: expected {expected}, got none"
    return None


def _config_fault(config: Mapping[str, Any]) -> str | None:
    for key in ("val_prompts", "metrics"):
        if not isinstance(config.get(key), dict):
            return f"config.{key}: expected a mapping, got {show(config.get(key))}"
    if not isinstance(config.get("evaluation", {}), dict):
        return f"config.evaluation: expected a mapping, got {show(config['evaluation'])}"
    sam = config.get("sam")
    if not isinstance(sam, dict) or not _is_text(sam.get("precision")):
        return f"config.sam: expected a mapping with a precision, got {show(sam)}"
    return None


def _odd_value(value: Any, key: str, depth: int) -> str | None:
    """The first number that JSON allows and a table does not, and nesting that no config has."""
    if depth > DEEPEST:
        return f"{key}: expected at most {DEEPEST} levels"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{key}: expected a finite number, got {value}"
    if isinstance(value, int) and abs(value) >= LARGEST:
        return f"{key}: expected an integer of 64 bits, got one of {value.bit_length()} bits"
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        fault = _odd_value(each, f"{key}.{name}" if key else str(name), depth + 1)
        if fault:
            return fault
    return None


def _is_metric(facts: Mapping[str, Any]) -> bool:
    return facts.keys() == METRIC.keys() and all(isinstance(facts[key], kind) for key, kind in METRIC.items())


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _is_known_number(value: Any) -> bool:
    return value is None or _is_number(value)


def _matches(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _maps_to(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


_COUNT = ("an integer of 0 or more", _is_count)
_TEXT = ("text", _is_text)
_NUMBER = ("a number of 0 or more, or null", _is_known_number)
_COUNTS = ("integers of 0 or more by method", _maps_to(_is_count))
REQUIRED: dict[str, tuple[str, Check]] = {
    "name": _TEXT,
    "seed": _COUNT,
    "sam": _TEXT,
    "sam_sha256": ("64 hexadecimal digits", _matches("[0-9a-f]{64}")),
    "output": (f"one of {', '.join(OUTPUTS)}", lambda value: isinstance(value, str) and value in OUTPUTS),
}
OPTIONAL: dict[str, tuple[str, Check]] = {
    "command": _TEXT,
    "date": ("a date such as 2026-01-31", _matches(r"\d{4}-\d{2}-\d{2}")),
    "data": ("text", lambda value: isinstance(value, str)),
    "batch": _TEXT,
    "epochs": _COUNT,
    "steps": _COUNT,
    "fit_seconds": _NUMBER,
    "step_seconds": _NUMBER,
    "peak_memory_gib": _NUMBER,
    "trainable_parameters": _COUNTS,
    "total_parameters": _COUNTS,
    "inference": ("numbers of 0 or more by method and cost", _maps_to(_maps_to(_is_known_number))),
    "hqsam_lightning": _TEXT,
    "torch": _TEXT,
}
