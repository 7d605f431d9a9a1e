"""Clocks: contestants take turns, so that what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

Contestant = Callable[[], object]


@dataclass
class Timing:
    """Times of one contestant.

    Attributes:
        name: of the contestant.
        seconds: one per round.
    """

    name: str
    seconds: list[float]

    @property
    def median(self) -> float:
        """Median of the rounds, in seconds."""
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """Slowest minus fastest round, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median


def take_turns(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, Timing]:
    """Times every contestant once per round, after one warm-up round."""
    timings = {name: Timing(name, []) for name in contestants}
    for number in range(rounds + 1):
        for name, contestant in contestants.items():
            synchronise()
            start = time.perf_counter()
            contestant()
            synchronise()
            if number:
                timings[name].seconds.append(time.perf_counter() - start)
    return timings


def synchronise() -> None:
    """Waits for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
