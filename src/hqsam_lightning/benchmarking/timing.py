"""Clocks and meters: contestants take turns, so that what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch

from hqsam_lightning.runtime.memory import peak_memory

Contestant = Callable[[], object]


@dataclass
class Timing:
    """Times of one contestant.

    Attributes:
        name: what the table calls it.
        seconds: of each round.
    """

    name: str
    seconds: list[float]

    @property
    def median(self) -> float:
        """Median of the rounds, in seconds."""
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """Greatest minus least round, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median


def take_turns(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, Timing]:
    """Times every contestant once a round, after one round that does not count.

    Args:
        contestants: by name.
        rounds: that count.
    """
    timings = {name: Timing(name, []) for name in contestants}
    for number in range(rounds + 1):
        for name, contestant in contestants.items():
            seconds = time_once(contestant)
            if number:
                timings[name].seconds.append(seconds)
    return timings


def time_once(contestant: Contestant) -> float:
    """Seconds that one run takes."""
    _synchronise()
    start = time.perf_counter()
    contestant()
    _synchronise()
    return time.perf_counter() - start


def take_turns_apart(
    builders: Mapping[str, Callable[[], Contestant]], rounds: int
) -> tuple[dict[str, Timing], dict[str, int]]:
    """Times contestants as `take_turns` does, each in a process of its own: memory and settings are its own.

    Args:
        builders: make the contestants there; functions of a module, or partials of them.
        rounds: that count.

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
    _synchronise()


def _peak_memory() -> int:
    """On the GPU where this process used one."""
    return peak_memory(torch.device("cuda") if torch.cuda.is_initialized() else None) or 0


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
