"""Photos and mask files that are listed and checked."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from hqsam_lightning.data.datasets.base import PhotoSet
from hqsam_lightning.data.image_files import file_fingerprint
from hqsam_lightning.data.listing import Pair
from hqsam_lightning.data.mask_pixels import read_mask_pixels
from hqsam_lightning.data.mask_values import SOFT, MaskValues
from hqsam_lightning.data.reading import masks_of, read_image, size_mismatch
from hqsam_lightning.errors import DataError
from hqsam_lightning.types import Identity, Sample

_log = logging.getLogger(__name__)


class PhotoPairs(PhotoSet):
    """Photos and mask files, by index.

    Args:
        name: of the set, which begins its sample ids.
        pairs: photos with their masks, whose stems are unique; or their paths, the photo first.
        mask_values: what the masks' values mean.
        max_masks: see `PhotoSet`.
        unreadable: see there.
    """

    photos: list[Pair]

    def __init__(
        self,
        name: str,
        pairs: Sequence[Pair | tuple[Path, ...]],
        mask_values: MaskValues = SOFT,
        max_masks: int | None = None,
        unreadable: Sequence[str] = (),
    ) -> None:
        listed = [pair if isinstance(pair, Pair) else Pair.of(*pair) for pair in pairs]
        super().__init__(name, listed, max_masks, unreadable)
        self.mask_values = mask_values
        self._announced: set[str] = set()

    def __getitem__(self, index: int) -> Sample:
        """Reads one photo and its masks.

        Raises:
            DataError: naming the file that is damaged, empty or of another size.
        """
        photo, masks, _ = self.photos[index]
        sample_id, image = self._sample_id(index), read_image(photo)
        read = masks_of(list(map(read_mask_pixels, masks)), self.mask_values, self.max_masks, sample_id)
        if image.shape[:2] != read.masks.shape[1:]:
            raise DataError(size_mismatch(photo, image.shape, masks[0], read.masks.shape[1:]))
        if read.empty and sample_id not in self._announced:
            self._announced.add(sample_id)
            _log.warning("%s: %s of its masks show no object and are left out", sample_id, read.empty)
        return Sample(image, read.masks, sample_id, self.name, read.ignore)

    def identify(self, index: int) -> Identity:
        """Identifies a sample by its files' sizes and last bytes, and by what the masks' values mean.

        Raises:
            DataError: a file is missing.
        """
        photo, masks, _ = self.photos[index]
        meaning = f"{self.mask_values}" + (f", at most {self.max_masks} masks" if self.max_masks is not None else "")
        content = " ".join([*map(file_fingerprint, (photo, *masks)), meaning])
        return Identity(self._sample_id(index), self.name, content)

    def _sample_id(self, index: int) -> str:
        return f"{self.name}/{self.photos[index].stem}"
