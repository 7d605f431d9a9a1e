"""Overrides of the command line: mappings that replace, hints for refused ones, and quoting for Hydra's grammar."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep
from hydra.errors import HydraException
from omegaconf import OmegaConf

from hqsam_lightning.errors import ConfigError

PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")
"""Text that Hydra's grammar and a shell take as it is; what reads as a number or null is quoted all the same."""
RESERVED = re.compile(r"(?i)(null|true|false|[-+]?(nan|inf)|[-+]?[\d_.]+(e[-+]?[\d_]+)?|\?+)")
KEY = re.compile(r"[+~]{0,2}[\w.@/-]+")
WITH_EXPERIMENTS = ("train",)
"""Configs whose defaults list the group `experiment`."""
SLASHES_BEFORE_QUOTE = re.compile(r'(\\+)(?=")|(\\+)$')
REFERENCE = re.compile(r"(\\*)\$\{")


def quote_override(key: str, value: Any) -> str:
    """Writes an override that Hydra's grammar reads as this key and value.

    Args:
        key: may begin with ``+`` or ``++``.
        value: of a config: text, number, bool, None, or lists and mappings of them. ``${`` in a text stays text.

    Returns:
        One argument of a command line, to be quoted for a shell by `shlex.join` or `shlex.quote`.

    Raises:
        ConfigError: a mapping has a key that the grammar cannot write.
    """
    return f"{key}={quote_value(value)}"


def quote_value(value: Any) -> str:
    """Writes a value in Hydra's override grammar; see `quote_override`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quote_text(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quote_key(name)}:{quote_value(each)}" for name, each in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(quote_value(each) for each in value) + "]"
    return repr(value)


def _quote_text(text: str) -> str:
    if PLAIN.fullmatch(text) and not RESERVED.fullmatch(text):
        return text
    # within quotes a backslash stands for itself unless a quote follows
    literal = REFERENCE.sub(lambda found: found[1] * 2 + r"\${", text)
    escaped = SLASHES_BEFORE_QUOTE.sub(lambda found: found[0] * 2, literal).replace('"', r"\"")
    return f'"{escaped}"'


def _quote_key(name: Any) -> str:
    if not isinstance(name, str) or not PLAIN.fullmatch(name) or RESERVED.fullmatch(name):
        raise ConfigError(f"expected a key of letters, digits and ./_+-, which Hydra's grammar can write; got {name!r}")
    return name


def as_hydra_takes(arguments: Sequence[str], config_name: str, conf_dir: str) -> list[str]:
    """The arguments of a command line as Hydra has to be given them.

    ``+experiment=NAME`` becomes ``experiment=NAME`` where the config lists the group, so that ``debug`` can be laid
    over it; and mappings replace the config's, see `replace_mappings`.

    Args:
        arguments: of the command line.
        config_name: of the entry point.
        conf_dir: folder of the configs.
    """
    listed = config_name in WITH_EXPERIMENTS
    given = [text[1:] if listed and text.startswith("+experiment=") else text for text in arguments]
    return replace_mappings(given, conf_dir)


def replace_mappings(arguments: Sequence[str], conf_dir: str) -> list[str]:
    """Makes a mapping replace the config's own, where Hydra would merge the two.

    ``prompts.mix={box: 1}`` becomes ``prompts.mix=null ++prompts.mix={box: 1}``, for sweeps over mappings too. Hydra's
    prefixes stay as they are: ``++prompts.mix={box: 1}`` merges.

    Args:
        arguments: of the command line; all but such overrides are left alone.
        conf_dir: folder of the configs, whose groups are left alone.
    """
    return [each for argument in arguments for each in _replacing(argument, conf_dir)]


def _replacing(argument: str, conf_dir: str) -> list[str]:
    if argument.startswith(("-", "+", "~")) or "{" not in argument or _folder_of(argument, conf_dir):
        return [argument]
    try:
        value = OverridesParser.create().parse_override(argument).value()
    except HydraException:
        return [argument]
    choices = value.list if isinstance(value, ChoiceSweep) else [value]
    if not any(isinstance(choice, dict) for choice in choices):
        return [argument]
    return [f"{argument.partition('=')[0]}=null", f"++{argument}"]


def override_hints(arguments: list[str], config_name: str, conf_dir: str) -> list[str]:
    """What could have been meant by overrides that Hydra refuses.

    Args:
        arguments: of the command line.
        config_name: of the entry point.
        conf_dir: folder of the configs.

    Returns:
        For an override that cannot be parsed, how to quote it; for each ``a.b=value`` whose key the config does not
        have, the keys that it does have.
    """
    overrides = [argument for argument in arguments if "=" in argument and not argument.startswith(("-", "~"))]
    is_multirun = any(argument in ("-m", "--multirun") for argument in arguments)
    unreadable = [text for text in overrides if not _parses(text, is_multirun) or text.startswith("=")]
    if unreadable:
        return [_quoting_hint(text) for text in unreadable]
    references = [text for text in overrides if "${" in text]
    if references:
        return [_reference_hint(text) for text in references]
    groups = [text for text in overrides if _folder_of(text, conf_dir) is not None]
    unnamed = [text for text in groups if _names_no_file(text)]
    if unnamed:
        return [_group_hint(text, conf_dir) for text in unnamed]
    try:
        with initialize_config_dir(conf_dir, version_base="1.3"):
            config = compose(config_name, overrides=as_hydra_takes(groups, config_name, conf_dir))
    except HydraException:
        return []
    keys = [text.split("=")[0] for text in overrides if text not in groups and not text.startswith(("+", "hydra."))]
    plain = OmegaConf.to_container(config, resolve=False)
    return [hint for key in keys if (hint := _missing_key_hint(plain, key))]


def _folder_of(override: str, conf_dir: str) -> Path | None:
    """The folder of the group that an override sets; None where it sets no group."""
    group = override.lstrip("+").split("=")[0].split("@")[0]
    return Path(conf_dir) / group if group and (Path(conf_dir) / group).is_dir() else None


def _names_no_file(override: str) -> bool:
    value = OverridesParser.create().parse_override(override).value()
    return value is None or isinstance(value, int | float)


def near(name: str, choices: list[str]) -> str:
    """The choices, and the nearest one first where there is one."""
    found = difflib.get_close_matches(name, choices, n=1)
    guess = f"did you mean {found[0]!r}? " if found else ""
    return f"{guess}expected one of {', '.join(choices)}"


def _parses(override: str, is_multirun: bool) -> bool:
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException:
        return False
    return is_multirun or not parsed.is_sweep_override()


def _quoting_hint(override: str) -> str:
    key, _, value = override.partition("=")
    if not KEY.fullmatch(key):
        return (
            f"{override}: expected KEY=VALUE with a key of letters, digits, dots and underscores; got the key {key!r}"
        )
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    quoted = shlex.quote(quote_override(key, value[1:-1] if is_quoted else value))
    return f"{key}: expected a value in Hydra's grammar; got {value}; where it is plain text, write {quoted}"


def _group_hint(override: str, conf_dir: str) -> str:
    key, _, value = override.partition("=")
    names = sorted(path.stem for path in (_folder_of(override, conf_dir) or Path()).glob("*.yaml"))
    return f"{key}: expected one of {', '.join(names)}; got {value}; to leave the group out, write ~{key.lstrip('+')}"


def _reference_hint(override: str) -> str:
    key, _, value = override.partition("=")
    return f"{key}: expected ${{KEY}} to refer to a key that the config has; got {value}"


def _missing_key_hint(config: Any, key: str) -> str | None:
    node = config
    for depth, part in enumerate(key.split(".")):
        if not isinstance(node, dict):
            return None
        if part not in node:
            parent = ".".join(key.split(".")[:depth]) or "the config"
            return f"{key}: {parent} has no key {part!r}; {near(part, sorted(str(choice) for choice in node))}"
        node = node[part]
    return None
