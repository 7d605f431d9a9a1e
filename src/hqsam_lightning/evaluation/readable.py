"""Examples that are read one by one: one that cannot be read leaves the others of its batch as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch.utils.data import Dataset

from hqsam_lightning.data.collate import collate
from hqsam_lightning.errors import DataError
from hqsam_lightning.types import Batch, Example

UNREADABLE = "unreadable"
"""Key of the record that says why an image was left out."""


@dataclass
class ReadBatch:
    """What was read of a few images.

    Attributes:
        batch: of those that could be read; None where there are none.
        reasons: for each image, why it could not; None where it could.
    """

    batch: Batch | None
    reasons: list[str | None]

    def pin_memory(self) -> ReadBatch:
        """The same in page-locked memory."""
        return ReadBatch(None if self.batch is None else self.batch.pin_memory(), self.reasons)


class Readable(Dataset[Example | str]):
    """Examples, or why they cannot be read.

    Args:
        examples: to read.
        strict: whether an example that cannot be read is an error.
    """

    def __init__(self, examples: Dataset[Example], strict: bool) -> None:
        self.examples = examples
        self.strict = strict

    def __len__(self) -> int:
        return len(self.examples)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Example | str:
        """Reads one; a `DataError` where it is strict and the example cannot be read."""
        try:
            return self.examples[index]
        except DataError as error:
            if self.strict:
                raise
            return str(error)


def collate_readable(found: Sequence[Example | str]) -> ReadBatch:
    """Puts what could be read into one batch."""
    examples = [each for each in found if isinstance(each, Example)]
    reasons = [each if isinstance(each, str) else None for each in found]
    return ReadBatch(collate(examples) if examples else None, reasons)
