"""The log file of a run, which conf/hydra/default.yaml selects."""

from __future__ import annotations

import logging
import sys


class LogFile(logging.FileHandler):
    """A log file that a run outlives: where it cannot be written, one line on standard error reports it, once."""

    _failed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record; opens the file at the first one."""
        try:
            super().emit(record)
        except OSError as error:
            self._report(error)

    def close(self) -> None:
        """Writes what is buffered, and closes the file."""
        try:
            super().close()
        except OSError as error:
            self._report(error)

    def handleError(self, record: logging.LogRecord) -> None:
        """Reports a file that cannot be written; anything else as logging does."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self._report(error)
        else:
            super().handleError(record)

    def _report(self, error: OSError) -> None:
        if not self._failed:
            print(f"{self.baseFilename}: cannot be written ({error}); lines of the log are missing", file=sys.stderr)
        self._failed = True
