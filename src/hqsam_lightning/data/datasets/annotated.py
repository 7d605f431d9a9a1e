"""Photos whose masks are in JSON: what SA-1B and COCO's format have in common."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hqsam_lightning.checks import Expected, choice, integer, list_of, optional, text
from hqsam_lightning.data.datasets.base import PhotoSet
from hqsam_lightning.data.image_files import file_fingerprint
from hqsam_lightning.data.problems import CHECKS
from hqsam_lightning.data.reading import read_image, take_objects
from hqsam_lightning.data.segmentations import Segmentation, decode, segmentation_problem
from hqsam_lightning.errors import DataError
from hqsam_lightning.types import Identity, Sample

ARGUMENTS: Mapping[str, Expected] = {
    "max_masks": optional(integer(1)),
    "exclude": Expected("a list of file names, in quotes where they are numbers", list_of(text(1)).accepts),
    "check": choice(*CHECKS),
    "exif": choice("apply", "ignore", None),
}
"""What the arguments have to be that all sets of annotated photos take."""


@dataclass
class PhotoMasks:
    """The masks of one photo, checked.

    Attributes:
        size: (height, width) of the photo that was annotated; None where that is not stated.
        segmentations: in the file's order; run lengths among them are of `size`.
    """

    size: tuple[int, int] | None
    segmentations: list[Segmentation] = field(default_factory=list)

    def add(self, segmentation: Any) -> str | None:
        """Adds a mask, or describes why it cannot; the first run lengths set the size if it is not stated."""
        if problem := segmentation_problem(segmentation):
            return problem
        if isinstance(segmentation, Mapping):
            size = (segmentation["size"][0], segmentation["size"][1])
            self.size = self.size or size
            if size != self.size:
                return f"expected run lengths of the image's size (height, width) {self.size}, got {size}"
        self.segmentations.append(segmentation)
        return None


@dataclass(frozen=True)
class AnnotatedPhoto:
    """A photo and where its masks are.

    Attributes:
        path: of the photo.
        name: relative to the folder of the photos.
        sample_id: see `Sample`.
        source: JSON file with its masks.
        masks: None: they are read from `source` when the photo is drawn.
    """

    path: Path
    name: str
    sample_id: str
    source: Path
    masks: PhotoMasks | None = field(default=None, repr=False)


def size_problem(photo: AnnotatedPhoto, masks: PhotoMasks, size: tuple[int, ...]) -> str | None:
    """Describes a photo of another size than its annotations are for: polygons would be filled in another frame."""
    if masks.size is None or masks.size == tuple(size):
        return None
    return (
        f"{photo.source}: expected {photo.name!r} with height x width {masks.size[0]}x{masks.size[1]} as its "
        f"annotations say, got {size[0]}x{size[1]}"
    )


def no_mask(photo: AnnotatedPhoto) -> str:
    """Describes a photo that nothing can be learned from."""
    return f"{photo.source}: expected a mask with a pixel for {photo.name!r}, found none; list it in data.exclude"


class AnnotatedPhotos(PhotoSet):
    """Photos whose masks are in JSON; a subclass knows where.

    Args:
        name: see `PhotoSet`.
        photos: see there.
        max_masks: see there.
        exif: whether photos are turned the way their EXIF orientation says; otherwise the pixels come as stored.
        unreadable: see `PhotoSet`.
        left_out: see there.
    """

    photos: list[AnnotatedPhoto]

    def __init__(
        self,
        name: str,
        photos: Sequence[AnnotatedPhoto],
        max_masks: int | None,
        exif: bool = True,
        unreadable: Sequence[str] = (),
        left_out: Sequence[str] = (),
    ) -> None:
        super().__init__(name, photos, max_masks, unreadable, left_out)
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
