"""Output that nobody reads any more: `hqsam train --help | head` ends quietly, as other programs in a pipe do."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from hqsam_lightning.runtime.signals import Stopped


@contextmanager
def stop_without_reader() -> Iterator[None]:
    """Ends the command with status 141 (128 + SIGPIPE) when it writes to a pipe whose reader has ended.

    Python ignores SIGPIPE, because it would also end a program whose socket or loading process is gone; so it is the
    streams that raise.

    Raises:
        Stopped: at such a write; it passes loggers and progress bars, which report every `Exception`.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _Stream(stream)) for stream in before)
    try:
        yield
    finally:
        try:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        finally:
            sys.stdout, sys.stderr = before


class _Stream:
    """A text stream that raises `Stopped` instead of `BrokenPipeError`.

    Args:
        stream: what it writes to; it has all other attributes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes text.

        Returns:
            Number of characters.
        """
        with self._stops():
            return self._stream.write(text)

    def flush(self) -> None:
        """Writes what is buffered."""
        with self._stops():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _stops(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            # the rest of the buffer goes nowhere; Python would report it at exit
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            raise Stopped(signal.SIGPIPE) from None
