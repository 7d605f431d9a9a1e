"""Checks a whole config: keys without a value, rules by key, targets, and what has to go together."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from hqsam_lightning.checks import Expected, show
from hqsam_lightning.data.catalogue import Source
from hqsam_lightning.schema.annotations import annotated
from hqsam_lightning.schema.contracts import check_run
from hqsam_lightning.schema.paths import expand_paths
from hqsam_lightning.schema.patterns import matches
from hqsam_lightning.schema.resolving import Problems, entries, resolve
from hqsam_lightning.schema.rules import COMMANDS, SECTIONS
from hqsam_lightning.schema.target_rules import rules_of
from hqsam_lightning.schema.targets import check_nodes, one_error, require_nodes

RUNS = ("train", "precompute", "pretrain")


def check_config(config: DictConfig, command: str) -> DictConfig:
    """Makes sure that every known key of a config has a value that can work, before anything is read or written.

    Args:
        config: as composed.
        command: whose config it is: train, precompute, pretrain, report, scenes, benchmark or dashboard.

    Returns:
        The config with ``~`` expanded in every path.

    Raises:
        ConfigError: a line for each key that cannot work: the key, what is expected and the value.
    """
    problems = problems_of(config, command)
    if problems:
        raise one_error(problems)
    return expand_paths(config)


def problems_of(config: DictConfig, command: str) -> Problems:
    """What is wrong with a config, by full key; empty where nothing is.

    Args:
        config: as composed.
        command: see `check_config`.
    """
    values, problems = resolve(config)
    add_problems(values, command, problems)
    return problems


def add_problems(values: dict[str, Any], command: str, problems: Problems) -> None:
    """Adds what is wrong with resolved values; see `problems_of`.

    Args:
        values: of the config.
        command: see `check_config`.
        problems: by key; a key that has one keeps it.
    """
    _check_keys(values, command, problems)
    require_nodes(values, problems)
    check_nodes(values, problems)
    _check_sources(values, problems)
    if command in RUNS:
        check_run(values, problems)


def _check_keys(values: dict[str, Any], command: str, problems: Problems) -> None:
    rules, patterns = COMMANDS[command], [pattern for pattern in COMMANDS[command] if "*" in pattern]
    seen = set()
    for key, value in entries(values):
        seen.add(key)
        expected = rules.get(key) or next((rules[pattern] for pattern in patterns if matches(pattern, key)), None)
        if expected is not None:
            _check(key, value, expected, problems)
    for key in (*(key for key in rules if "*" not in key), *SECTIONS.get(command, ())):
        if key not in seen and not any(f"{known}.".startswith(f"{key}.") for known in problems):
            problems[key] = "expected a value; the config has no such key"


def _check_sources(values: dict[str, Any], problems: Problems) -> None:
    """The fields of every source in a catalogue, also of those that are not trained on."""
    expected = {**annotated(Source), **rules_of(Source)}
    for key, value in entries(values):
        if not matches("data.**.catalogue.*", key) or not isinstance(value, dict):
            continue
        for field, given in value.items():
            if field not in expected or field == "name":
                problems.setdefault(f"{key}.{field}", f"expected one of {', '.join(expected)}")
            else:
                _check(f"{key}.{field}", given, expected[field], problems)


def _check(key: str, value: Any, expected: Expected, problems: Problems) -> None:
    if not expected.accepts(value):
        problems.setdefault(key, f"expected {expected.text}; got {show(value)}")
