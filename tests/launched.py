"""Runs and commands in processes of their own, which may be killed; the package is imported once for all of them."""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from multiprocessing.process import BaseProcess
from pathlib import Path

import lightning as L
from omegaconf import DictConfig

from patience import PATIENCE

context = multiprocessing.get_context("forkserver")
"""Of processes that need not import what most of them need."""
context.set_forkserver_preload([f"hqsam_lightning.{name}" for name in ("train", "pretrain", "search.searcher")])

TIMEOUT = PATIENCE


class SignalAt(L.Callback):
    """Sends its own process signals in a hook, once so many optimiser steps were taken.

    Args:
        hook: name of the hook.
        step: number of steps.
        numbers: of the signals, one after the other.
        ranks: that get them.
        sanity: also in the validation before training.
    """

    def __init__(
        self, hook: str, step: int, numbers: list[int], ranks: tuple[int, ...] = (0,), sanity: bool = False
    ) -> None:
        self.step, self.numbers, self.ranks, self.sanity = step, list(numbers), tuple(ranks), sanity
        self.sent = False
        setattr(self, hook, self.send)

    def send(self, trainer: L.Trainer, *arguments: object, **options: object) -> None:
        if trainer.global_step == self.step and not self.sent and trainer.sanity_checking <= self.sanity:
            self.sent = True
            if trainer.global_rank in self.ranks:
                for number in self.numbers:
                    os.kill(os.getpid(), number)


def signal_at(hook: str, step: int, *numbers: int, ranks: tuple[int, ...] = (0,)) -> str:
    """The override that adds the callback."""
    fields = f"_target_:launched.SignalAt,hook:{hook},step:{step},numbers:{[int(number) for number in numbers]}"
    return f"+callbacks.signal_at={{{fields},ranks:{list(ranks)},sanity:false}}".replace(" ", "")


def launch(config: DictConfig, log: Path) -> int:
    """Trains in a process of its own.

    Args:
        config: of `train`, or of `pretrain`, which has a key "rounds".
        log: where its output goes.

    Returns:
        The exit status; -9 where it was killed.
    """
    return _status_of(context.Process(target=_run, args=(config, log)), log)


def run_command(
    program: str, *arguments: str, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs what `subprocess.run` would run by ``python -m PROGRAM ARGUMENTS``, without the seconds of its imports.

    Args:
        program: a module, or the path of a .py file.
        arguments: of the command line.
        cwd: folder that it is started in; None is the test's.
        environment: variables besides the test's.

    Returns:
        The exit status, negative where a signal ended it, and what it printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / name for name in ("stdout", "stderr")]
        for log in logs:
            log.touch()
        given = (program, arguments, str(cwd or Path.cwd()), {**os.environ, **environment}, *logs)
        status = _status_of(context.Process(target=_run_program, args=given), logs[1])
        printed = [log.read_text() for log in logs]
    return subprocess.CompletedProcess([program, *arguments], status, *printed)


def _status_of(process: BaseProcess, log: Path) -> int:
    process.start()
    process.join(TIMEOUT)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"the run does not end:\n{log.read_text()}")
    return process.exitcode


def _run(config: DictConfig, log: Path) -> None:
    import torch

    from hqsam_lightning.pretrain import pretrain
    from hqsam_lightning.train import train

    torch.set_num_threads(1)
    _print_to(log, log)
    (pretrain if "rounds" in config else train)(config)
    sys.stdout.flush()


def _run_program(
    program: str, arguments: tuple[str, ...], cwd: str, environment: dict[str, str], out: Path, err: Path
) -> None:
    # not the one of this process, so that loading processes start as in any other
    multiprocessing.set_start_method(None, force=True)
    _print_to(out, err)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = [program, *arguments]
    sys.path.insert(0, cwd)
    for name in ("train", "pretrain", "evaluate", "report", "precompute"):
        # what was imported for all would not be run as a program without a warning
        sys.modules.pop(f"hqsam_lightning.{name}", None)
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


def _print_to(out: Path, err: Path) -> None:
    for stream, log in ((sys.stdout, out), (sys.stderr, err)):
        stream.flush()
        with log.open("a") as file:
            os.dup2(file.fileno(), stream.fileno())
