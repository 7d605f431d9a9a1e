"""Folders and files that only one process may write: claimed before they are touched, freed however it ends."""

from __future__ import annotations

import errno
import json
import logging
import os
import shlex
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hqsam_lightning.errors import BusyError
from hqsam_lightning.storage.files import storage_error, writing

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

LOCK_FILE = ".lock"
BUSY = (errno.EACCES, errno.EAGAIN)
UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)

_held: set[str] = set()
_held_guard = threading.Lock()


@contextmanager
def claim(folder: Path, remedy: str) -> Iterator[None]:
    """Claims a folder for this process, by a lock file in it; see `claim_file`."""
    with claim_file(folder / LOCK_FILE, f"{folder}: expected a folder that no other run writes", remedy):
        yield


@contextmanager
def claim_file(path: Path, expected: str, remedy: str) -> Iterator[None]:
    """Holds a lock of the operating system on a file, which ends with the process; removes the file at the end.

    If the file system or the platform has no locks, a warning is logged and nothing is protected.

    Args:
        path: of the lock file; made, with its folder, where it is missing.
        expected: the beginning of the message when another process has it.
        remedy: what to do then, as the end of the message.

    Raises:
        BusyError: another process, or this one, has claimed it; names its id, machine and command.
        StorageError: the file cannot be written.
    """
    key = str(path.resolve())
    with _held_guard:
        if key in _held:
            raise BusyError(f"{expected}; this process does; {remedy}")
        descriptor = _open_locked(path, expected, remedy)
        _held.add(key)
    try:
        yield
    finally:
        with _held_guard:
            _held.discard(key)
            # still locked: nobody who opened it can have claimed it, and whoever waits looks whether it is there
            path.unlink(missing_ok=True)
            os.close(descriptor)


def _open_locked(path: Path, expected: str, remedy: str) -> int:
    while True:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor, path, expected, remedy)
            if _is_same_file(descriptor, path):
                _sign(descriptor, path)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its owner removed the file in between


def _lock(descriptor: int, path: Path, expected: str, remedy: str) -> None:
    if fcntl is None:
        log.warning("%s: this platform has no file locks: a second process there goes unnoticed", path)
        return
    try:
        # of this process alone, and freed by a kill; flock's would live on in loading processes
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as cause:
        if cause.errno in UNSUPPORTED:
            log.warning("%s: its disk has no file locks (%s): a second process there goes unnoticed", path, cause)
            return
        if cause.errno not in BUSY:
            raise storage_error(path, cause) from cause
        raise BusyError(f"{expected}; {_describe(descriptor)} does; {remedy}") from cause


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _sign(descriptor: int, path: Path) -> None:
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "command": shlex.join(sys.argv)}
    with writing(path):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(owner).encode())


def _describe(descriptor: int) -> str:
    try:
        owner = json.loads(os.pread(descriptor, 1 << 16, 0))
        return f"process {owner['pid']} on {owner['host']} ({owner['command']})"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"  # it has the lock, but has not yet written who it is
