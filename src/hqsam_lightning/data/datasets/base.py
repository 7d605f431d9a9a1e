"""What every set of samples gives."""

from __future__ import annotations

from typing import Protocol

from hqsam_lightning.types import Identity, Sample


class SampleSet(Protocol):
    """Anything that gives samples by index: files, procedural scenes."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def identify(self, index: int) -> Identity:
        """Returns what identifies the sample and its content, without decoding its files."""
        ...
