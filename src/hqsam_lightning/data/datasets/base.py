"""What every set of samples gives, and what sets of photos have in common."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from hqsam_lightning.types import Identity, Sample

Photos = TypeVar("Photos", bound="PhotoSet")


class SampleSet(Protocol):
    """Anything that gives samples by index: files, procedural scenes."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def identify(self, index: int) -> Identity:
        """Returns what identifies the sample and its content, without decoding its files."""
        ...


class PhotoSet(ABC):
    """Photos with masks, by index; a subclass reads them.

    Args:
        name: of the set, which begins the sample ids.
        photos: what the set holds.
        max_masks: maximum number of masks per photo: where it has more, these are drawn at random, always the same
            ones; None takes all. Masks without a pixel do not count.
        unreadable: what is wrong with each photo that was to be in the set and cannot be used.
        left_out: what is wrong with annotations that are not used.
    """

    def __init__(
        self,
        name: str,
        photos: Sequence[Any],
        max_masks: int | None,
        unreadable: Sequence[str] = (),
        left_out: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.photos = list(photos)
        self.max_masks = max_masks
        self.unreadable = tuple(unreadable)
        self.left_out = tuple(left_out)

    def __len__(self) -> int:
        return len(self.photos)

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...

    @abstractmethod
    def identify(self, index: int) -> Identity:
        """See `SampleSet`."""

    def part(self: Photos, first: int, last: int) -> Photos:
        """The set of the photos from number `first` up to, not including, `last`."""
        chosen = copy.copy(self)
        chosen.photos = self.photos[first:last]
        return chosen
