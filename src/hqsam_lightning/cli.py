"""What the commands share: how they start, and how they end on an error."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NoReturn

from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from hqsam_lightning.config import conf_dir, full_key, own_error
from hqsam_lightning.errors import HQSamError
from hqsam_lightning.help import command_help
from hqsam_lightning.overrides import as_hydra_takes, override_hints
from hqsam_lightning.runtime.output import stop_without_reader
from hqsam_lightning.runtime.signals import stop_on_signals

FULL_ERROR = "HYDRA_FULL_ERROR"
"""Hydra's variable; set to 1 it leaves every error whole."""
WORKER_TRACEBACK = "Original Traceback (most recent call last):"


def clean_errors(task: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    """Ends a run whose input is wrong with the error's message alone, and exit status 1; other errors pass."""

    @functools.wraps(task)
    def wrapper(config: DictConfig) -> Any:
        try:
            return task(config)
        except Exception as error:
            if own_error(error) is None:
                raise
            fail(error)

    return wrapper


def run_hydra(entry: Callable[[], Any], config_name: str, command: str | None = None) -> None:
    """Runs a `hydra.main` function; every error ends in `fail`, those of Hydra and of its plugins too.

    A mapping on the command line replaces the config's. When Hydra refuses an override, the keys it could have been
    follow, or how to quote its value.

    Args:
        entry: without arguments.
        config_name: of the entry point.
        command: that `--help` is of, one of `hqsam_lightning.help.COMMANDS`; None is the module that runs.
    """
    require_hydra_for_python()
    given = sys.argv[1:]
    with stop_without_reader():
        if {"--help", "-h"} & set(given):
            _print_help(command or _running_module(config_name), config_name, given)
        else:
            _run(entry, config_name, given)


def _run(entry: Callable[[], Any], config_name: str, given: list[str]) -> None:
    """Runs it on the arguments that were given."""
    wanted = os.environ.get(FULL_ERROR)
    sys.argv[1:] = as_hydra_takes(given, config_name, conf_dir())
    # Hydra would print a user's error without the frames that say where it is
    os.environ[FULL_ERROR] = "1"
    try:
        with stop_on_signals():
            entry()
    except Exception as error:
        if wanted == "1":
            raise
        try:
            fail(error)
        finally:
            if _is_of_hydra(error):
                for hint in override_hints(given, config_name, conf_dir()):
                    print(hint, file=sys.stderr)
    finally:
        if wanted is None:
            del os.environ[FULL_ERROR]
        else:
            os.environ[FULL_ERROR] = wanted


def require_hydra_for_python() -> None:
    """Ends the program on Python 3.14 with Hydra 1.3, whose argument parser does not start there."""
    found = version("hydra-core")
    if sys.version_info >= (3, 14) and found.startswith("1.3."):
        sys.exit(
            f"error: expected hydra-core 1.4 on Python 3.14, where {found} cannot start; install it, or use "
            "Python 3.10 to 3.13"
        )


def _running_module(otherwise: str) -> str:
    """Name of the module that Python runs, without its packages."""
    spec = sys.modules["__main__"].__spec__
    return spec.name.removesuffix(".__main__").rpartition(".")[2] if spec else otherwise


def _print_help(command: str, config_name: str, arguments: list[str]) -> None:
    try:
        print(command_help(command, config_name, arguments, conf_dir()))
    except HydraException as error:
        fail(error)


def fail(error: BaseException) -> NoReturn:
    """Ends the program with exit status 1 and what a user needs to know of an error.

    An error of this package, of Hydra and its config, or what Lightning says cannot be set so, is one message. Any
    other is a bug in code that the config names, or in ours: its traceback is printed, and the key that names the code
    where Hydra knows it.
    """
    own, refused = own_error(error), _refusal_of_lightning(error)
    if own is not None:
        print(f"error: {_message(own)}", file=sys.stderr)
    elif refused is not None:
        print(f"error: {full_key(error) or 'trainer'}: Lightning cannot run this: {refused}", file=sys.stderr)
    elif isinstance(error, InstantiationException) and error.__cause__ is not None:
        cause = _innermost(error)
        traceback.print_exception(cause)
        key = full_key(error)
        print(f"error: the code that {key or 'the config'} names raised this {type(cause).__name__}", file=sys.stderr)
    elif _is_of_hydra(error):
        print(f"error: {str(error).strip()}", file=sys.stderr)
        if isinstance(error.__cause__, OmegaConfBaseException):
            print(str(error.__cause__).strip(), file=sys.stderr)
    else:
        traceback.print_exception(error)
    sys.exit(1)


def _is_of_hydra(error: BaseException) -> bool:
    """Whether Hydra or its config raised the error; some of what Hydra says of overrides is a ValueError."""
    if isinstance(error, HydraException | OmegaConfBaseException):
        return True
    return isinstance(error, ValueError) and _module_of(error).startswith("hydra._internal.")


def _module_of(error: BaseException) -> str:
    """Name of the module that raised the error."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return str(frames[-1][0].f_globals.get("__name__")) if frames else ""


def _innermost(error: BaseException) -> BaseException:
    """What Hydra's errors in instantiating were raised from."""
    while isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _refusal_of_lightning(error: BaseException) -> str | None:
    """What Lightning says of settings that it refuses, SLURM's among them; None for any other error."""
    # imported here: reports need no Lightning
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    cause = _innermost(error)
    is_of_trainer = full_key(error) == "trainer" and _module_of(cause).startswith("lightning.")
    return str(cause).strip() if isinstance(cause, MisconfigurationException) or is_of_trainer else None


def _message(error: HQSamError) -> str:
    """The message alone, also of an error that a loading process raised, whose message torch makes a traceback."""
    text = str(error)
    if WORKER_TRACEBACK not in text:
        return text
    name = f"{type(error).__module__}.{type(error).__qualname__}: "
    return text.rpartition(name)[2].strip()
