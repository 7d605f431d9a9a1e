"""Clocks and meters: contestants take turns, so that what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

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


def peak_memory(build: Callable[..., Contestant], *arguments: object) -> int:
    """Greatest resident memory, in bytes, of a process of its own that builds a contestant and runs it twice.

    Args:
        build: a function of a module; makes the contestant.
        arguments: of `build`.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run_twice, args=(sender, build, arguments, torch.get_num_threads()))
    process.start()
    sender.close()
    try:
        return int(receiver.recv())
    finally:
        process.join()


def _run_twice(sender: object, build: Callable[..., Contestant], arguments: tuple[object, ...], threads: int) -> None:
    torch.set_num_threads(threads)
    contestant = build(*arguments)
    for _ in range(2):
        contestant()
    if torch.cuda.is_available():
        used = torch.cuda.max_memory_allocated()
    else:
        # not getrusage, which begins with what the parent process had
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        used = int(status["VmHWM"].split()[0]) * 1024
    sender.send(used)  # type: ignore[attr-defined]


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
