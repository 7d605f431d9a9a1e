"""Runs our commands as processes of their own without importing everything again: each is a fork of this process."""

from __future__ import annotations

import importlib
import multiprocessing.util
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from hqsam_lightning.cli import run_hydra

COMMANDS = ("train", "pretrain", "precompute")


def preload() -> None:
    """Imports the commands, so that a fork begins with its config."""
    for name in COMMANDS:
        importlib.import_module(f"hqsam_lightning.{name}")


def start(command: str, arguments: Sequence[str], log: Path, prepare: Callable[[], None] | None = None) -> int:
    """Starts `python -m hqsam_lightning.COMMAND ARGUMENTS` in a session of its own.

    Args:
        command: of `COMMANDS`.
        arguments: overrides.
        log: gets its output, at the end.
        prepare: is called in the process first.

    Returns:
        The number of the process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code: object = 1
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGHUP):  # ignored where this was started in the background
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if prepare is not None:
            prepare()
        sys.argv = [f"hqsam_lightning/{command}.py", *arguments]
        module = importlib.import_module(f"hqsam_lightning.{command}")
        run_hydra(module.main, "pretrain" if command == "pretrain" else "train")
        code = 0
    except SystemExit as stop:
        code = stop.code
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        multiprocessing.util._exit_function()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def status(pid: int) -> int:
    """Waits for a process; negative where a signal ended it, as in subprocess."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(command: str, arguments: Sequence[str], log: Path, prepare: Callable[[], None] | None = None) -> int:
    """Runs a command to its end and gives its status."""
    return status(start(command, arguments, log, prepare))
