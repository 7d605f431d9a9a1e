"""What the entry points share: where the configs are, and errors that a user can act on."""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig, OmegaConf

from hqsam_lightning.errors import HQSamError
from hqsam_lightning.signals import stop_on_signals


def conf_dir() -> str:
    """Folder of the Hydra configs: inside an installed wheel, or at the root of a checkout."""
    inside = Path(__file__).parent / "conf"
    return str(inside if inside.is_dir() else Path(__file__).resolve().parents[2] / "conf")


def clean_errors(task: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    """Ends a run whose input is wrong with the error's message alone, and exit status 1."""

    @functools.wraps(task)
    def wrapper(config: DictConfig) -> Any:
        try:
            return task(config)
        except (HQSamError, InstantiationException) as error:
            print(f"error: {_root_message(error)}", file=sys.stderr)
            sys.exit(1)

    return wrapper


def run_hydra(entry: Callable[[], Any], config_name: str) -> None:
    """Runs a `hydra.main` function; when Hydra refuses an override, adds the keys it could have been."""
    try:
        with stop_on_signals():
            entry()
    except SystemExit as stop:
        if stop.code == 1:  # not where a signal ended it
            for hint in override_hints(sys.argv[1:], config_name):
                print(hint, file=sys.stderr)
        raise


def override_hints(arguments: list[str], config_name: str) -> list[str]:
    """For each `a.b=value` whose key the config does not have, the keys that it does have.

    Args:
        arguments: of the command line.
        config_name: of the entry point.
    """
    overrides = [argument for argument in arguments if "=" in argument and not argument.startswith(("-", "~"))]
    groups = [text for text in overrides if (Path(conf_dir()) / text.lstrip("+").split("=")[0].split("@")[0]).is_dir()]
    try:
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            config = compose(config_name, overrides=groups)
    except HydraException:
        return []
    keys = [text.split("=")[0] for text in overrides if text not in groups and not text.startswith(("+", "hydra."))]
    plain = OmegaConf.to_container(config, resolve=False)
    return [hint for key in keys if (hint := _missing_key_hint(plain, key))]


def _missing_key_hint(config: Any, key: str) -> str | None:
    node = config
    for depth, part in enumerate(key.split(".")):
        if not isinstance(node, dict):
            return None
        if part not in node:
            parent = ".".join(key.split(".")[:depth]) or "the config"
            choices = sorted(str(choice) for choice in node)
            near = difflib.get_close_matches(part, choices, n=1)
            guess = f"did you mean {near[0]!r}? " if near else ""
            return f"{key}: {parent} has no key {part!r}; {guess}expected one of {', '.join(choices)}"
        node = node[part]
    return None


def _root_message(error: BaseException) -> str:
    """The package's own error where one is behind it, else the error with Hydra's full key."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, HQSamError):
            return str(cause)
        cause = cause.__cause__
    return str(error)
