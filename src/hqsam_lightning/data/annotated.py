"""A photo whose masks are in JSON, and those masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hqsam_lightning.checks import Expected, choice, integer, list_of, optional, text
from hqsam_lightning.data.problems import CHECKS
from hqsam_lightning.data.segmentations import Segmentation

ARGUMENTS: Mapping[str, Expected] = {
    "max_masks": optional(integer(1)),
    "exclude": Expected("a list of file names, in quotes where they are numbers", list_of(text(1)).accepts),
    "check": choice(*CHECKS),
    "exif": choice("apply", "ignore", None),
}
"""What the arguments have to be that all sets of annotated photos take."""


@dataclass(frozen=True)
class PhotoMasks:
    """The masks of one photo, checked.

    Attributes:
        segmentations: in the file's order; run lengths among them are of `size`.
        size: (height, width) of the photo that was annotated; None where that is not stated.
    """

    segmentations: Sequence[Segmentation]
    size: tuple[int, int] | None


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
