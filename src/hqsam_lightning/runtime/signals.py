"""Signals that stop a command: at once if nothing is lost by it, otherwise as soon as its state is saved.

Inside `stop_on_signals` SIGINT (Ctrl-C), SIGTERM, SIGUSR1 (SLURM, before its time limit or a preemption) and SIGHUP end
the process with status 128 + number: 130, 143, 138, 129. Inside `stops_deferred` their handler only sets a flag, which
the work looks at between its steps with `stop_requested` or `raise_if_stopped`; a second Ctrl-C ends the process at
once. Nothing else happens in a handler, no collective and no lock, so that it cannot deadlock.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name))


class Stopped(SystemExit):
    """A signal ended the command; the exit status is 128 + its number.

    It is not an `Exception`, so that a search leaves the trial to be repeated, and nothing takes it for a failed run.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


class _Requests:
    """The signal that this process got, and whether it is acted on at once."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.received: int | None = None
        self.deferred = 0
        self.depth = 0


_requests = _Requests()


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Replaces the signal handlers, and restores them at the end. Does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread() or _requests.depth:
        yield
        return
    _requests.pid, _requests.received, _requests.depth = os.getpid(), None, 1
    # what is ignored stays ignored: nohup, or a shell's background job
    before = {number: signal.getsignal(number) for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, _handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _requests.received, _requests.depth = None, 0


@contextmanager
def stops_deferred() -> Iterator[None]:
    """Signals only set the flag that `stop_requested` returns; at the end they take effect.

    Raises:
        Stopped: at the end.
    """
    _requests.deferred += 1
    try:
        yield
    finally:
        _requests.deferred -= 1
    if not _requests.deferred:
        raise_if_stopped()


def stop_requested() -> signal.Signals | None:
    """The first signal that this process received, if any."""
    return None if _requests.received is None else signal.Signals(_requests.received)


def raise_if_stopped() -> None:
    """Ends the command if it received a signal.

    Raises:
        Stopped: it did.
    """
    if (number := stop_requested()) is not None:
        raise Stopped(number)


def _handle(number: int, frame: FrameType | None) -> None:
    if os.getpid() != _requests.pid:
        # a forked loading process: Ctrl-C and SLURM's signals reach it too, but it ends when its parent does
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        return
    first, _requests.received = _requests.received is None, _requests.received or number
    if not first:
        if number == signal.SIGINT:
            os._exit(128 + number)
    elif not _requests.deferred:
        raise Stopped(number)
    elif number == signal.SIGINT:
        # not print, which may be what the signal interrupted
        os.write(2, b"\nstopping after this step; press Ctrl-C again to end at once, without saving\n")
