"""A search's journal: Optuna's records, one per line, each sealed with a checksum of itself and of the lines before."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from hqsam_lightning.errors import DataError
from hqsam_lightning.storage.files import UNREADABLE, require_regular_file, storage_error, write_whole

log = logging.getLogger(__name__)

SEAL = "seal"
FIRST_BYTES = b'{"op_code":'
ENDS_TRIAL = 6
"""Optuna's code of the record that gives a trial its state and values."""


class SealedJournal(JournalFileBackend):
    """Optuna's journal file; a record that cannot be written whole is taken back.

    Args:
        path: of the file; made where it is missing.

    Raises:
        StorageError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        # works without symbolic links, which Windows asks a privilege for
        self.lock = JournalFileOpenLock(str(self.path))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            super().__init__(str(self.path), lock_obj=self.lock)
        except OSError as cause:
            raise storage_error(path, cause) from cause

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends records.

        Raises:
            StorageError: the disk is full or cannot be written; the file stays as it was.
            DataError: the file's last line is damaged.
        """
        try:
            with _held(self.lock), self.path.open("r+b", buffering=0) as file:
                end = file.seek(0, os.SEEK_END)
                seal = _last_seal(file, end, self.path)
                try:
                    file.seek(end)
                    _write(file, _sealed(logs, seal))
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(end)
                    raise
        except OSError as cause:
            raise storage_error(self.path, cause) from cause


def check_journal(path: Path) -> None:
    """Makes sure that every line is as it was written, and takes off a last one that a kill or a full disk cut.

    Only the process that the study belongs to may call it.

    Args:
        path: of the journal; may be missing.

    Raises:
        DataError: a line is damaged, changed, or of another program; the file stays as it was.
        StorageError: the cut line cannot be taken off.
    """
    _remove_stale_lock(path.with_name(f"{path.name}.lock"))
    if not os.path.lexists(path):
        return
    require_regular_file(path, DataError, _remedy("restore it"))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"hydra.sweeper.study={path}: cannot be read ({error}); make it readable") from error
    *lines, tail = content.split(b"\n")
    seal = _check_lines(path, lines)
    if tail:
        _take_off(path, len(content), tail, seal, is_first=not lines)


def _remove_stale_lock(lock: Path) -> None:
    try:
        if os.path.lexists(lock):
            lock.unlink()
            log.warning("%s: left by a process that was killed; removed", lock)
    except OSError as cause:
        raise storage_error(lock, cause) from cause


def _check_lines(path: Path, lines: list[bytes]) -> str:
    """The last line's seal."""
    seal, finished = "", 0
    for number, line in enumerate(lines, start=1):
        record = _parse(line)
        if record is None or record.get(SEAL) != _seal_of(record, seal):
            if number == 1 and record is not None and SEAL not in record:
                raise DataError(
                    f"hydra.sweeper.study={path}: expected records with checksums, got none: the study is of an "
                    "earlier version or of another program; " + _remedy("continue it with that version")
                )
            raise DataError(
                f"hydra.sweeper.study={path}: expected what hqsam_lightning wrote, but line {number} of {len(lines)} "
                "was changed or damaged; "
                + _remedy(f"restore a backup, keep its sound part ({finished} ended points: head -n {number - 1})")
            )
        seal = record[SEAL]
        finished += record.get("op_code") == ENDS_TRIAL
    return seal


def _take_off(path: Path, size: int, tail: bytes, seal: str, is_first: bool) -> None:
    """Takes off a cut last line, of which a copy is kept; one that lacks only its end is completed."""
    record = _parse(tail)
    if is_first and tail[: len(FIRST_BYTES)] != FIRST_BYTES[: len(tail)]:
        raise DataError(
            f"hydra.sweeper.study={path}: expected a study of hqsam_lightning, got another file; "
            + _remedy("leave it where it is")
        )
    try:
        if record is not None and record.get(SEAL) == _seal_of(record, seal):
            with path.open("ab") as file:
                file.write(b"\n")
            return
        kept = next(each for each in _numbered(path) if not each.exists())
        write_whole(kept, tail)
        os.truncate(path, size - len(tail))
    except OSError as cause:
        raise storage_error(path, cause) from cause
    log.warning("%s: its last record was cut by a kill or a full disk; taken off and kept as %s", path, kept.name)


def _numbered(path: Path) -> Iterator[Path]:
    number = 1
    while True:
        yield path.with_name(f"{path.name}.cut-{number}")
        number += 1


def _remedy(first: str) -> str:
    return f"{first}, or give another hydra.sweeper.study"


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except UNREADABLE:
        return None
    return record if isinstance(record, dict) else None


def _sealed(logs: list[dict[str, Any]], seal: str) -> bytes:
    lines = []
    for record in json.loads(json.dumps(logs)):  # as it is read back: keys are text
        seal = _seal_of(record, seal)
        lines.append(json.dumps({**record, SEAL: seal}, separators=(",", ":")) + "\n")
    return "".join(lines).encode()


def _seal_of(record: dict[str, Any], previous: str) -> str:
    content = {key: value for key, value in record.items() if key != SEAL}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()[:16]


def _last_seal(file: io.FileIO, end: int, path: Path) -> str:
    """The seal of the last line; empty for an empty file."""
    block, content = 1 << 14, b""
    while end and b"\n" not in content[:-1] and len(content) < end:
        file.seek(max(0, end - block))
        content = file.read(min(block, end))
        block *= 4
    if not end:
        return ""
    record = _parse(content[:-1].rsplit(b"\n", 1)[-1]) if content.endswith(b"\n") else None
    if record is None or not isinstance(record.get(SEAL), str):
        raise DataError(
            f"hydra.sweeper.study={path}: its last line is damaged; start the same command again, which looks into it"
        )
    return str(record[SEAL])


def _write(file: io.FileIO, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[file.write(view) or 0 :]


@contextmanager
def _held(lock: JournalFileOpenLock) -> Iterator[None]:
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
