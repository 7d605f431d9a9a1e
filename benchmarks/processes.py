"""Contestants in processes of their own, where memory and settings are theirs alone."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial

import torch

from hqsam_lightning.runtime.memory import peak_memory
from hqsam_lightning.runtime.timing import Contestant, Timing, synchronise, take_turns


def take_turns_apart(
    builders: Mapping[str, Callable[[], Contestant]], rounds: int
) -> tuple[dict[str, Timing], dict[str, int]]:
    """Times contestants as `take_turns` does, each in a process of its own: memory and settings are its own.

    Args:
        builders: make the contestants there; functions of a module, or partials of them.
        rounds: number of timed rounds.

    Returns:
        Timings, and most bytes that each one's process had at a time.
    """
    threads = torch.get_num_threads()
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))) for name in builders
        }
        for name, process in processes.items():
            process.submit(_prepare, builders[name], threads).result()
        contestants = {name: partial(_run_in, process) for name, process in processes.items()}
        timings = take_turns(contestants, rounds)
        return timings, {name: process.submit(_peak_memory).result() for name, process in processes.items()}


_prepared: list[Contestant] = []


def _prepare(build: Callable[[], Contestant], threads: int) -> None:
    torch.set_num_threads(threads)
    _prepared.append(build())


def _run_in(process: ProcessPoolExecutor) -> None:
    process.submit(_run_prepared).result()


def _run_prepared() -> None:
    _prepared[0]()
    synchronise()


def _peak_memory() -> int:
    """On the GPU where this process used one."""
    return peak_memory(torch.device("cuda") if torch.cuda.is_initialized() else None) or 0
