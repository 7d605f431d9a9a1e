"""Several sets as one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from hqsam_lightning.data.datasets.base import SampleSet
from hqsam_lightning.types import Identity, Sample


class MergedSets:
    """Sets one after the other.

    Args:
        sets: indices run through them in turn.
    """

    def __init__(self, sets: Sequence[SampleSet]) -> None:
        self.sets = list(sets)
        self.ends = list(accumulate(len(samples) for samples in sets))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> Sample:
        """Reads the sample of the set that the index falls into."""
        samples, place = self._find(index)
        return samples[place]

    def identify(self, index: int) -> Identity:
        """Identifies the sample of the set that the index falls into."""
        samples, place = self._find(index)
        return samples.identify(place)

    def _find(self, index: int) -> tuple[SampleSet, int]:
        number = bisect_right(self.ends, index)
        return self.sets[number], index - (self.ends[number - 1] if number else 0)
