"""What a prediction has done so far, a line of JSON for each photo: one that was cut goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hqsam_lightning.errors import DataError
from hqsam_lightning.storage.continuing import begin_or_continue
from hqsam_lightning.storage.files import UNREADABLE, writing

KIND, VERSION = "predicted", 1
FACTS, LINES = "facts.json", "photos.jsonl"


class Journal:
    """A line for each photo that was done or that failed; a later line replaces an earlier one of its photo.

    Args:
        folder: of the prediction.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / LINES
        self._remedy = f"delete {folder} to predict anew"

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Begins, or makes sure that the same prediction continues; takes off a line that a kill cut.

        Args:
            facts: plain values that the masks depend on.

        Raises:
            ConfigError: naming what differs.
            DataError: a file is damaged.
        """
        remedy = f"choose another out, or {self._remedy}"
        begin_or_continue(self.folder / FACTS, KIND, VERSION, facts, "prediction", remedy)
        if self.path.exists():
            content = self.path.read_bytes()
            with writing(self.path):
                os.truncate(self.path, content.rfind(b"\n") + 1)

    def add(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Appends lines, which are on the disk when this returns.

        Args:
            records: plain values with the key ``photo``.

        Raises:
            StorageError: the disk is full or cannot be written.
        """
        lines = "".join(json.dumps(record, allow_nan=False) + "\n" for record in records)
        with writing(self.path), self.path.open("ab") as file:
            file.write(lines.encode())
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> dict[str, dict[str, Any]]:
        """The last record of each photo, by its name.

        Raises:
            DataError: a line is damaged.
        """
        found: dict[str, dict[str, Any]] = {}
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                found[record["photo"]] = record
            except UNREADABLE as error:
                raise DataError(f"{self.path}, line {number}: expected a record ({error!r}); {self._remedy}") from error
        return found
