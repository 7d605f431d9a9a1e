"""Runs in processes of their own, which may be killed in any hook; the package is imported once for all of them."""

import multiprocessing
import os
import sys
from pathlib import Path

import lightning as L
from omegaconf import DictConfig

from patience import PATIENCE

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["hqsam_lightning.train", "hqsam_lightning.pretrain"])

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
    process = _context.Process(target=_run, args=(config, log))
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
    with log.open("a") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    (pretrain if "rounds" in config else train)(config)
    sys.stdout.flush()
