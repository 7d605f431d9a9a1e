"""Checks a whole config: missing values, rules by key, targets, and constraints between keys."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from omegaconf import DictConfig

from hqsam_lightning.data.catalogue import Source
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.schema.contracts import contract_problems
from hqsam_lightning.schema.keys import Found, Problems, entries, first_match, first_pattern, resolve
from hqsam_lightning.schema.paths import expand_paths, path_problems
from hqsam_lightning.schema.rules import COMMANDS, SECTIONS
from hqsam_lightning.schema.target_rules import expected_of
from hqsam_lightning.schema.targets import target_problems

RUNS = ("train", "precompute", "pretrain", "evaluate")
SOURCES = ("data.**.catalogue.*", "suite.**.catalogue.*")
"""Patterns of the keys that hold a source's fields."""
CLOSED = ("automatic", "batch", "evaluation", "limits", "loader", "process")
"""Sections of which every key has a rule, in some command: any other key would change nothing."""


def check_config(config: DictConfig, command: str) -> DictConfig:
    """Checks that every known key of a config has a valid value, before anything is read or written.

    Args:
        config: as composed.
        command: which the config is for: one of `hqsam_lightning.schema.rules.COMMANDS`.

    Returns:
        The config with ``~`` expanded in every path.

    Raises:
        ConfigError: one line per key that cannot work: the key, what is expected and the value.
    """
    lines = [f"{key}: {problem}" for key, problem in problems_of(config, command).items()]
    if len(lines) > 1:
        lines.insert(0, f"{len(lines)} keys of the config have values that cannot work:")
    if lines:
        raise ConfigError("\n".join(lines))
    return expand_paths(config)


def problems_of(config: DictConfig, command: str) -> Problems:
    """Finds the problems of a config, by full key.

    Args:
        config: as composed.
        command: see `check_config`.
    """
    values, problems = resolve(config)
    add_problems(values, command, problems)
    return problems


def add_problems(values: dict[str, Any], command: str, problems: Problems) -> None:
    """Adds the problems of resolved values; see `problems_of`.

    Args:
        values: of the config.
        command: see `check_config`.
        problems: by key; a key that has one keeps it.
    """
    found = chain(
        _rule_problems(values, command),
        path_problems(values),
        target_problems(values),
        _source_problems(values),
        _unknown_keys(values),
    )
    for key, problem in chain(found, contract_problems(values) if command in RUNS else ()):
        problems.setdefault(key, problem)
    for key in _missing(values, command):
        if not any(f"{known}.".startswith(f"{key}.") for known in problems):
            problems[key] = "expected a value; the config has no such key"


def _rule_problems(values: dict[str, Any], command: str) -> Iterator[Found]:
    rules = COMMANDS[command]
    for key, value in entries(values):
        expected = rules.get(key) or first_match(rules, key)
        if expected is not None and (problem := expected.problem(value)):
            yield key, problem


def _unknown_keys(values: dict[str, Any]) -> Iterator[Found]:
    """Finds keys that were added to a section and that nothing reads."""
    known = {key: None for rules in COMMANDS.values() for key in rules}
    for section in CLOSED:
        names = [key.removeprefix(f"{section}.") for key in known if key.startswith(f"{section}.")]
        given = values.get(section)
        for name in given if isinstance(given, dict) else ():
            if name not in names:
                yield f"{section}.{name}", f"expected one of {', '.join(names)}; take out the key"


def _missing(values: dict[str, Any], command: str) -> list[str]:
    present = {key for key, _ in entries(values)}
    required = (*(key for key in COMMANDS[command] if "*" not in key), *SECTIONS.get(command, ()))
    return [key for key in required if key not in present]


def _source_problems(values: dict[str, Any]) -> Iterator[Found]:
    """Checks the fields of every source in a catalogue, whether or not it is used."""
    expected = {field: what for field, what in expected_of(Source).items() if field != "name"}
    for key, value in entries(values):
        if isinstance(value, dict) and first_pattern(SOURCES, key):
            for field, given in value.items():
                if field not in expected:
                    yield f"{key}.{field}", f"expected one of {', '.join(expected)}"
                elif problem := expected[field].problem(given):
                    yield f"{key}.{field}", problem
