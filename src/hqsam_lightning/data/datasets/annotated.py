"""Photos whose masks are in JSON: what SA-1B and COCO's format have in common."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from hqsam_lightning.data.annotated import AnnotatedPhoto, PhotoMasks, no_mask, size_problem
from hqsam_lightning.data.datasets.base import PhotoSet
from hqsam_lightning.data.image_files import file_fingerprint
from hqsam_lightning.data.reading import read_image, take_objects
from hqsam_lightning.data.segmentations import decode
from hqsam_lightning.errors import DataError
from hqsam_lightning.types import Identity, Sample


class AnnotatedPhotos(PhotoSet):
    """Photos whose masks are in JSON; a subclass knows where.

    Args:
        name: see `PhotoSet`.
        photos: see there.
        max_masks: see there.
        exif: whether photos are turned the way their EXIF orientation says; otherwise the pixels come as stored.
    """

    photos: list[AnnotatedPhoto]

    def __init__(self, name: str, photos: Sequence[AnnotatedPhoto], max_masks: int | None, exif: bool = True) -> None:
        super().__init__(name, photos, max_masks)
        self.exif = exif

    def __getitem__(self, index: int) -> Sample:
        """Reads one photo and its masks.

        Raises:
            DataError: naming a file that was damaged or changed since the run began, or was not checked then.
        """
        photo = self.photos[index]
        masks, image = self.read_masks(photo), read_image(photo.path, exif=self.exif)
        size = (image.shape[0], image.shape[1])
        if problem := size_problem(photo, masks, size):
            raise DataError(f"{problem}; use the photos that were annotated, or list the photo in data.exclude")
        found = masks.segmentations
        taken, _ = take_objects(found, lambda each: decode(each, size), self.max_masks, photo.sample_id)
        if not taken:
            raise DataError(no_mask(photo))
        return Sample(image, np.stack(taken).astype(np.float32), photo.sample_id, self.name)

    def identify(self, index: int) -> Identity:
        """Identifies a photo by its file and its masks."""
        photo = self.photos[index]
        content = f"{file_fingerprint(photo.path)} {_fingerprint(photo)} {self.max_masks}"
        return Identity(photo.sample_id, self.name, content if self.exif else f"{content} as stored")

    @abstractmethod
    def read_masks(self, photo: AnnotatedPhoto) -> PhotoMasks:
        """The masks of a photo, at least one.

        Raises:
            DataError: its file cannot be used.
        """


def _fingerprint(photo: AnnotatedPhoto) -> str:
    if photo.masks is None:
        return file_fingerprint(photo.source)
    text = json.dumps(photo.masks.segmentations, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
