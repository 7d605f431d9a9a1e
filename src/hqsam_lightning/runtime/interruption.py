"""Distinguishes failures of a run from interruptions, and describes them in one line."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

from hqsam_lightning.errors import FinishedError, HQSamError, StorageError
from hqsam_lightning.escaping import printable
from hqsam_lightning.storage.files import DISK_ERRORS

SIGNALLED = 128
"""Exit statuses above it are those of signals."""
LONGEST = 500


def interruption_status(error: BaseException) -> int | None:
    """Exit status of a run that a signal ended, such as 130 (Ctrl-C) or 143 (SIGTERM); None for other errors."""
    for each in chain_of(error):
        if isinstance(each, SystemExit) and isinstance(each.code, int) and each.code > SIGNALLED:
            return each.code
        if isinstance(each, _lightnings_stop()):
            return SIGNALLED + signal.SIGTERM
        if isinstance(each, KeyboardInterrupt):
            return SIGNALLED + signal.SIGINT
    return None


def _lightnings_stop() -> tuple[type[BaseException], ...]:
    """The exception that Lightning raises on SIGTERM, if Lightning is imported."""
    module = sys.modules.get("lightning.pytorch.utilities.exceptions")
    return (module.SIGTERMException,) if module else ()


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yields the error, its cause, the cause of that, and so on."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def is_finished(error: BaseException) -> bool:
    """Whether a run was refused because it has finished."""
    return any(isinstance(each, FinishedError) for each in chain_of(error))


def describe_error(error: BaseException) -> str:
    """One line: our own message if there is one in the chain, otherwise class and message of the error."""
    errors = list(chain_of(error))
    own = [each for each in errors if isinstance(each, HQSamError)]
    others = [each for each in errors if not isinstance(each, SystemExit)]
    if own:
        text = str(own[0])
    elif others:
        text = f"{type(others[0]).__name__}: {others[0]}"
    else:
        text = f"it ended with status {getattr(error, 'code', None)}"
    return printable(text)[:LONGEST]


def raise_storage_fault(error: BaseException) -> None:
    """Raises errors of the disk again, which are not the fault of a trial: the trial is left to be repeated.

    Raises:
        StorageError: the error was caused by one.
    """
    for each in chain_of(error):
        if isinstance(each, StorageError):
            raise each from error
        if isinstance(each, OSError) and each.errno in DISK_ERRORS:
            raise StorageError(f"{each}; make room, or the folder writable, and run the same command again") from error
