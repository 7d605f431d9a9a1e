"""Photos and masks as read, by index."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from hqsam_lightning.data.reading import file_fingerprint, read_pair
from hqsam_lightning.types import Identity, Sample


class SampleSet(Protocol):
    """Anything that gives samples by index: files, procedural scenes."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def reduced(self, index: int, longest: int) -> Sample:
        """Gives a sample of any size whose longest side has so many pixels, or as many as it has."""
        ...

    def identify(self, index: int) -> Identity:
        """Tells a sample without reading all of it."""
        ...


class PhotoFolder:
    """Pairs of photo and mask files of one source.

    Args:
        name: the source's name, which begins its sample ids.
        pairs: (photo, mask) paths; the photos' stems are unique.
    """

    def __init__(self, name: str, pairs: Sequence[tuple[Path, Path]]) -> None:
        self.name = name
        self.pairs = list(pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """Reads one pair.

        Raises:
            DataError: naming the file that is damaged, empty or of another size.
        """
        return self._read(index, None)

    def reduced(self, index: int, longest: int) -> Sample:
        """Reads one pair, the photo at 1/2, 1/4 or 1/8 of its size where it is a JPEG and that is enough.

        Raises:
            DataError: as above.
        """
        return self._read(index, longest)

    def identify(self, index: int) -> Identity:
        """Tells the pair by its files' sizes and last bytes, which reading a whole set of photos does not take.

        Raises:
            DataError: a file is missing.
        """
        photo, mask = self.pairs[index]
        return Identity(self._sample_id(photo), self.name, f"{file_fingerprint(photo)} {file_fingerprint(mask)}")

    def _read(self, index: int, longest: int | None) -> Sample:
        photo, mask_path = self.pairs[index]
        image, mask = read_pair(photo, mask_path, longest)
        return Sample(image, mask[None], self._sample_id(photo), self.name)

    def _sample_id(self, photo: Path) -> str:
        return f"{self.name}/{photo.stem}"


class MergedSets:
    """Sets one after the other.

    Args:
        sets: indices run through them in turn.
    """

    def __init__(self, sets: Sequence[SampleSet]) -> None:
        self.sets = list(sets)
        self.ends = list(accumulate(len(samples) for samples in sets))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Sample:
        """Reads the sample of the set that the index falls into."""
        samples, place = self._find(index)
        return samples[place]

    def reduced(self, index: int, longest: int) -> Sample:
        """Reads the sample as its set reduces it."""
        samples, place = self._find(index)
        return samples.reduced(place, longest)

    def identify(self, index: int) -> Identity:
        """Tells the sample of the set that the index falls into."""
        samples, place = self._find(index)
        return samples.identify(place)

    def _find(self, index: int) -> tuple[SampleSet, int]:
        number = bisect_right(self.ends, index)
        return self.sets[number], index - (self.ends[number - 1] if number else 0)
