"""A search's journal: Optuna's records, one per line, the last one with a checksum of all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileOpenLock

from hqsam_lightning.errors import DataError
from hqsam_lightning.storage.files import UNREADABLE, require_regular_file, write_whole, writing

CHECKSUM = "sha256"


class SealedJournal(BaseJournalBackend):
    """Optuna's journal in a file that is replaced as a whole, so that a kill or a full disk never cuts a record.

    Optuna's own tools can read the file; what they append is refused.

    Args:
        path: of the file; made, with its folder, by the first record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        # works without symbolic links, which Windows asks a privilege for
        self.lock = JournalFileOpenLock(str(self.path))

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Reads the records from a number on.

        Raises:
            DataError: the file is damaged, changed, or of another program.
        """
        return self._read()[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends records.

        Raises:
            StorageError: the disk is full or cannot be written; the file stays as it was.
            DataError: see `read_logs`.
        """
        with ExitStack() as stack:
            with writing(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.lock.acquire()
            stack.callback(self.lock.release)
            records = [*self._read(), *json.loads(json.dumps(logs))]  # as they are read back: keys are text
            *before, last = records
            lines = [*before, {**last, CHECKSUM: _checksum(records)}]
            text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
            write_whole(self.path, text.encode())

    def _read(self) -> list[dict[str, Any]]:
        if not os.path.lexists(self.path):
            return []
        remedy = "restore a backup, or give another hydra.sweeper.study"
        require_regular_file(self.path, DataError, remedy)
        try:
            records = [json.loads(line) for line in self.path.read_bytes().splitlines()]
            if records[-1].pop(CHECKSUM) == _checksum(records):
                return records
            reason = "its checksum differs"
        except UNREADABLE as error:
            reason = f"{type(error).__name__}: {error}"
        raise DataError(
            f"hydra.sweeper.study={self.path}: expected what hqsam_lightning wrote, but it was changed or damaged, or "
            f"is of another version or program ({reason}); {remedy}"
        )


def _checksum(records: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(records, sort_keys=True).encode()).hexdigest()
