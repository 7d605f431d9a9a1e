"""Ends long work at a safe place when SIGINT or SIGTERM asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Notes the first SIGINT or SIGTERM instead of ending at once; a second one ends the process as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _received.clear()
    before = {number: signal.getsignal(number) for number in STOPPING}

    def note(number: int, frame: FrameType | None) -> None:
        _received.append(number)
        for each in STOPPING:
            signal.signal(each, before[each])

    for number in STOPPING:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number in STOPPING:
            signal.signal(number, before[number])


def stop_requested() -> int | None:
    """Number of the signal that asked to end; None where none did."""
    return _received[0] if _received else None
