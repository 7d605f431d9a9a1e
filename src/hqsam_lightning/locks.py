"""Files and folders that one process alone may write."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from hqsam_lightning.errors import BusyError
from hqsam_lightning.files import storage_error

log = logging.getLogger(__name__)


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Keeps other processes out; the end of the process, also by a kill, lets them in.

    Args:
        path: of the lock, a small file that stays; its folder is made where it is missing.
        what: is locked, as the beginning of the message.

    Raises:
        BusyError: another process has the lock; its number and host are named.
        StorageError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as cause:
        raise storage_error(path, cause) from cause
    with file:
        _lock(file, what)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def _lock(file: IO[str], what: str) -> None:
    try:
        import fcntl
    except ImportError:
        log.warning("%s: no file locks here; make sure that no other process writes it", what)
        return
    try:
        # of this process alone: flock's would live on in loading processes after a kill
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as cause:
        if cause.errno not in (errno.EACCES, errno.EAGAIN):
            log.warning("%s: cannot be locked (%s); make sure that no other process writes it", what, cause)
            return
        file.seek(0)
        holder = file.read() or "another process"
        raise BusyError(
            f"{what}: expected no other process to write it, {holder} does; wait for it, or choose another folder"
        ) from cause
