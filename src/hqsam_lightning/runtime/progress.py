"""Progress of long loops: lines in the log where no terminal shows a bar."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import rich.progress

log = logging.getLogger(__name__)

Item = TypeVar("Item")

SHARE = 0.1
"""Share of the whole after which a line is due."""
SECONDS = 60.0
"""Seconds after which a line is due."""


class Pace:
    """Decides when a line is due, and estimates the remaining time.

    Args:
        total: number of steps, if it is known.
        done: steps that were done before.
        every_steps: steps between lines; None is a tenth of the whole.
        every_seconds: seconds after which a line is due in any case.
        clock: gives seconds.
    """

    def __init__(
        self,
        total: int | None,
        done: int = 0,
        every_steps: int | None = None,
        every_seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.every_steps = every_steps or (max(1, round(total * SHARE)) if total else None)
        self.every_seconds = every_seconds
        self._clock = clock
        self._began = self._reported = clock()
        self._first = done

    def is_due(self, done: int) -> bool:
        """Whether a line should be written now that `done` steps are done; asking for it counts as writing it."""
        now = self._clock()
        due = bool(self.every_steps and done % self.every_steps == 0) or done == self.total
        due = due or now - self._reported >= self.every_seconds
        if due:
            self._reported = now
        return due

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._began

    def left(self, done: int) -> str:
        """Such as ", 1:02:03 left", by the mean pace so far; "" if it is not known."""
        ran = done - self._first
        if not self.total or ran < 1:
            return ""
        return f", {clock_time(self.elapsed() / ran * (self.total - done))} left"


def clock_time(seconds: float) -> str:
    """3723.4 -> "1:02:03", 63 -> "1:03"."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def has_terminal() -> bool:
    """Whether the output goes to a terminal, where a bar can be drawn."""
    return sys.stdout is not None and sys.stdout.isatty()


def track(items: Sequence[Item], what: str, every_seconds: float = SECONDS) -> Iterator[Item]:
    """Yields the items, with a bar on a terminal and lines such as "encoding: 5/10" in the log elsewhere."""
    if has_terminal():
        yield from rich.progress.track(items, what)
        return
    pace = Pace(len(items), every_seconds=every_seconds)
    for done, item in enumerate(items, start=1):
        yield item
        if pace.is_due(done):
            log.info("%s: %d/%d (%.0f %%)%s", what, done, len(items), 100 * done / len(items), pace.left(done))
