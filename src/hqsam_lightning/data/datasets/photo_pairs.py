"""Photos and mask files that are listed and checked."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from hqsam_lightning.data.image_files import file_fingerprint
from hqsam_lightning.data.listing import Pair
from hqsam_lightning.data.mask_values import SOFT, MaskValues
from hqsam_lightning.data.reading import read_pair
from hqsam_lightning.seeding import derive_rng
from hqsam_lightning.types import Identity, Sample

_log = logging.getLogger(__name__)


class PhotoPairs:
    """Photos and mask files, by index.

    Args:
        name: of the set, which begins its sample ids.
        pairs: photos with their masks, whose stems are unique; or their paths, the photo first.
        mask_values: what the masks' values mean.
        max_masks: most masks of a photo; where it has more, these are drawn at random, always the same ones.
    """

    def __init__(
        self,
        name: str,
        pairs: Sequence[Pair | tuple[Path, ...]],
        mask_values: MaskValues = SOFT,
        max_masks: int | None = None,
    ) -> None:
        self.name = name
        self.pairs = [pair if isinstance(pair, Pair) else Pair.of(*pair) for pair in pairs]
        self.mask_values = mask_values
        self.max_masks = max_masks
        self._announced: set[int] = set()

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """Reads one photo and its masks.

        Raises:
            DataError: naming the file that is damaged, empty or of another size.
        """
        photo, masks, _ = self.pairs[index]
        sample_id = self._sample_id(index)

        def order(count: int) -> list[int]:
            return derive_rng("masks", sample_id).permutation(count).tolist()

        image, read = read_pair(photo, masks, self.mask_values, self.max_masks, order)
        if read.empty and index not in self._announced:
            self._announced.add(index)
            _log.warning("%s: %s of its masks show no object and are left out", sample_id, read.empty)
        return Sample(image, read.masks, sample_id, self.name, read.ignore)

    def identify(self, index: int) -> Identity:
        """Identifies a sample by its files' sizes and last bytes, and by what the masks' values mean.

        Raises:
            DataError: a file is missing.
        """
        photo, masks, _ = self.pairs[index]
        content = " ".join([*(file_fingerprint(path) for path in (photo, *masks)), self._meaning()])
        return Identity(self._sample_id(index), self.name, content)

    def describe(self) -> str:
        """What was decided about the source, for logs and checkpoints, e.g. ``"mask_values: soft"``."""
        return f"mask_values: {self._meaning()}"

    def _meaning(self) -> str:
        return str(self.mask_values) + (f", at most {self.max_masks} masks" if self.max_masks is not None else "")

    def _sample_id(self, index: int) -> str:
        return f"{self.name}/{self.pairs[index].stem}"
