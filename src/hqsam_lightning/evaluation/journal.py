"""What an evaluation has scored so far, on disk: one that was cut continues where it was."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hqsam_lightning.errors import DataError
from hqsam_lightning.evaluation.suites import Record
from hqsam_lightning.storage.continuing import begin_or_continue
from hqsam_lightning.storage.files import UNREADABLE, read_document, write_document

KIND, VERSION = "evaluated", 1
FACTS = "facts.json"


class Journal:
    """Records of images, in files that are whole or not there; several processes may write.

    Args:
        folder: of the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._remedy = f"delete {folder} to evaluate anew"

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Begins, or makes sure that the same evaluation continues: `facts` are what its numbers depend on.

        Raises:
            ConfigError: naming what differs.
            DataError: a file is damaged.
        """
        remedy = f"choose another hydra.run.dir, or {self._remedy}"
        begin_or_continue(self.folder / FACTS, KIND, VERSION, facts, "evaluation", remedy)

    def add(self, setting: str, images: Mapping[int, Sequence[Record]]) -> None:
        """Writes the records of some images of a pass, by index of the image."""
        body = {"setting": setting, "images": [[index, list(records)] for index, records in images.items()]}
        write_document(self.folder / f"{setting}-{min(images):08d}.json", KIND, VERSION, body)

    def read(self, setting: str) -> dict[int, list[Record]]:
        """The records of every image that is done, by its index, in their order; a `DataError` for a damaged file."""
        found: dict[int, list[Record]] = {}
        for path in sorted(self.folder.glob(f"{setting}-*.json")):
            body = read_document(path, KIND, VERSION, DataError, self._remedy)
            try:
                found |= {int(index): records for index, records in body["images"]}
            except UNREADABLE as error:
                raise DataError(f"{path}: expected records of images, got {error!r}; {self._remedy}") from error
        return dict(sorted(found.items()))

    def remove(self) -> None:
        """Deletes the files, once the results are written."""
        shutil.rmtree(self.folder)
