"""Stops a run on a signal: all ranks agree, the state is saved, and the command that resumes is printed."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from hqsam_lightning.runtime.signals import Stopped, stop_requested
from hqsam_lightning.training.callbacks.last_checkpoint import LastCheckpoint
from hqsam_lightning.training.run_folder import FINISHED, is_first_process

log = logging.getLogger(__name__)

RANKS_END_SECONDS = 60
"""How long the first process waits for those that it launched."""


class StopOnSignal(L.Callback):
    """Ends the run on a signal: after an optimiser step, or between two batches of a validation.

    Any of several ranks may have received the signal: after each step they agree on the maximum of their signals. They
    do not in a validation, whose number of batches differs between ranks: the signal takes effect at its end.

    Args:
        last: saves the run; None if the run saves no last.ckpt.
    """

    def __init__(self, last: LastCheckpoint | None) -> None:
        self.last = last
        self._step = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begins to count steps, from those of a resumed run."""
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves, and raises `Stopped`, after a step in which a signal came."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        if number := agreed_signal(trainer):
            if self.last is not None:
                self.last.save(trainer)
            raise Stopped(number)

    def on_validation_batch_end(self, trainer: L.Trainer, *arguments: Any, **options: Any) -> None:
        """Raises `Stopped` on a signal; the run was saved when the validation began."""
        if trainer.world_size == 1 and (number := stop_requested()):
            raise Stopped(number)


def agreed_signal(trainer: L.Trainer) -> int:
    """Maximum number of the signals that the ranks received, 0 for none; all ranks must call it."""
    own = int(stop_requested() or 0)
    if trainer.world_size == 1:
        return own
    return int(trainer.strategy.reduce(torch.tensor(own, device=trainer.strategy.root_device), reduce_op="max"))


def stop_if_agreed(trainer: L.Trainer) -> None:
    """Raises `Stopped` in all ranks if one of them received a signal; all ranks must call it."""
    if number := agreed_signal(trainer):
        raise Stopped(number)


@contextmanager
def together(trainer: L.Trainer) -> Iterator[None]:
    """Ends the launched processes when this one fails, since they would wait for it in a collective.

    If all stop on a signal, this process waits for the others; these end with status 0, because Lightning kills the
    first process on any other status.
    """
    try:
        yield
    except Stopped:
        environment = getattr(trainer.strategy, "cluster_environment", None)
        if isinstance(environment, LightningEnvironment) and environment.local_rank() > 0:
            sys.exit(0)
        _await_launched(trainer)
        raise
    except BaseException:
        if trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(signal.SIGTERM)
        raise


def _await_launched(trainer: L.Trainer) -> None:
    launcher = trainer.strategy.launcher
    for process in launcher.procs if isinstance(launcher, _SubprocessScriptLauncher) else ():
        try:
            process.wait(RANKS_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def stops_reported(last: LastCheckpoint | None, command: str, folder: Path) -> Iterator[None]:
    """If a signal ends the run, prints the step and the command that resumes it.

    On SIGUSR1 the SLURM job is requeued, unless the run had finished.
    """
    try:
        yield
    except Stopped as stop:
        if is_first_process() and (folder / FINISHED).exists():
            print(f"{stop.signal.name} came when the run was over: results in {folder}", file=sys.stderr, flush=True)
        elif is_first_process():
            saved = last.saved_step if last is not None else 0
            where = f"at step {saved}; continue with" if saved else "before anything was saved; begin again with"
            print(f"stopped by {stop.signal.name} {where}: {command}", file=sys.stderr, flush=True)
            if stop.signal == getattr(signal, "SIGUSR1", None) and "SLURM_JOB_ID" in os.environ:
                _requeue()
        raise


def _requeue() -> None:
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, timeout=RANKS_END_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("SLURM job %s could not be put back into the queue (%s): submit it again", job, error)
    else:
        log.info("SLURM job %s is back in the queue", job)
