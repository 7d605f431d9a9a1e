"""What prompts each photo: a file or folder, the same for all photos, or nothing, where everything is found."""

from __future__ import annotations

import logging
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hqsam_lightning.data.image_files import file_fingerprint
from hqsam_lightning.data.mask_deciding import decide
from hqsam_lightning.data.mask_pixels import read_mask_pixels
from hqsam_lightning.data.mask_values import MaskValues, ids_of, object_of
from hqsam_lightning.data.names import normal_form, split_number
from hqsam_lightning.data.problems import listed, shown
from hqsam_lightning.errors import DataError
from hqsam_lightning.inference.objects import ObjectPrompt
from hqsam_lightning.prediction.photos import Photo
from hqsam_lightning.storage.files import content_sha256
from hqsam_lightning.types import OBJECT_THRESHOLD

log = logging.getLogger(__name__)

MASK_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp")
OBJECT = 1
"""Category of what has none."""


@dataclass(frozen=True)
class Wanted:
    """What is to be found in one photo.

    Attributes:
        objects: box and points of each object.
        categories: COCO id of the category of each of them.
        masks: files of coarse masks, of an object or, where their values are ids, of several.
    """

    objects: tuple[ObjectPrompt, ...] = ()
    categories: tuple[int, ...] = ()
    masks: tuple[Path, ...] = ()

    def prompts(self, values: MaskValues) -> list[ObjectPrompt]:
        """The objects, those of the masks last.

        Args:
            values: what those of the mask files mean.

        Raises:
            DataError: a mask file cannot be read.
        """
        return [*self.objects, *(ObjectPrompt(mask=mask) for path in self.masks for mask in _objects(path, values))]

    def content(self) -> str:
        """Fingerprint, which changes with what is shown."""
        plain = [[each.box, each.points] for each in self.objects]
        return content_sha256([plain, self.categories, [file_fingerprint(path) for path in self.masks]])


@dataclass
class PromptedPhotos:
    """Photos with what is wanted of each.

    Attributes:
        photos: those with something wanted; all of them, where everything is found.
        wanted: by the photo's name; None where everything is found.
        values: what the values of coarse masks mean.
        image_ids: COCO ids by name, where a file says them.
        categories: names by id, where a file says them.
    """

    photos: list[Photo]
    wanted: Mapping[str, Wanted] | None = None
    values: MaskValues = field(default_factory=lambda: MaskValues("soft"))
    image_ids: Mapping[str, int | str] = field(default_factory=dict)
    categories: Mapping[int, str] = field(default_factory=dict)


def same_for_all(photos: list[Photo], objects: Sequence[ObjectPrompt]) -> PromptedPhotos:
    """Prompts every photo with the same objects."""
    wanted = Wanted(tuple(objects), (OBJECT,) * len(objects))
    return PromptedPhotos(photos, {photo.name: wanted for photo in photos})


def by_masks(photos: list[Photo], folder: Path, values: MaskValues) -> PromptedPhotos:
    """Prompts each photo with the coarse masks of its stem: x.png, or x_0.png, x_1.png, ... for x.jpg.

    Raises:
        DataError: no photo has a mask, or a mask cannot be read.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in MASK_SUFFIXES and path.is_file())
    stems = {normal_form(photo.stem): photo.name for photo in photos}
    masks: dict[str, list[Path]] = {}
    unused = []
    for path in paths:
        stem = normal_form(path.stem)
        name = stems.get(stem) or stems.get((split_number(stem) or (stem,))[0])
        if name is None:
            unused.append(path.name)
        else:
            masks.setdefault(name, []).append(path)
    _log_unused("masks", unused)
    kept = _with_prompts(photos, masks, str(folder))
    decided, problems = decide("prompt", values, [path for of_photo in masks.values() for path in of_photo])
    if problems:
        log.warning("prompt: %d of the masks looked at cannot be read, first: %s", len(problems), problems[0])
    return PromptedPhotos(kept, {name: Wanted(masks=tuple(found)) for name, found in masks.items()}, decided)


def by_name(
    photos: list[Photo], entries: Iterable[tuple[str, ObjectPrompt, int]], source: str
) -> tuple[list[Photo], dict[str, Wanted]]:
    """Gives each photo the objects that a file lists under its name.

    Args:
        photos: to choose from.
        entries: name of a photo (its path in the folder, or file name; with or without suffix), object and category.
        source: the file, for messages.

    Returns:
        The photos that have objects, and the objects by the photo's name.

    Raises:
        DataError: no photo has any, or a name is that of two photos.
    """
    found: dict[str, list[tuple[ObjectPrompt, int]]] = {}
    unused: dict[str, None] = {}
    names = names_of_photos(photos)
    for name, prompt, category in entries:
        matching = names.get(tidy(name), set())
        if len(matching) > 1:
            both = listed(sorted(matching))
            raise DataError(f"{source}: expected the name of one photo; {shown(name)} may be {both}; write its path")
        if not matching:
            unused[name] = None
        for each in matching:
            found.setdefault(each, []).append((prompt, category))
    _log_unused("prompted photos", list(unused))
    kept = _with_prompts(photos, found, source)
    wanted = {}
    for name, objects in found.items():
        prompts, categories = zip(*objects, strict=True)
        wanted[name] = Wanted(prompts, categories)
    return kept, wanted


def tidy(name: str) -> str:
    """A name as `names_of_photos` has it."""
    return normal_form(posixpath.normpath(name))


def names_of_photos(photos: Sequence[Photo]) -> dict[str, set[str]]:
    """Names of photos by all that they may be called; a path comes before a file's name."""
    called: dict[str, set[str]] = {}
    for photo in photos:
        base = posixpath.basename(photo.name)
        for name in {base, posixpath.splitext(base)[0], posixpath.splitext(photo.name)[0]}:
            called.setdefault(normal_form(name), set()).add(photo.name)
    return called | {normal_form(photo.name): {photo.name} for photo in photos}


def _with_prompts(photos: list[Photo], prompted: Mapping[str, object], source: str) -> list[Photo]:
    kept = [photo for photo in photos if photo.name in prompted]
    if not kept:
        raise DataError(
            f"{source}: expected prompts for some of the {len(photos)} photos of images; none is named there"
        )
    if len(kept) < len(photos):
        without = [photo.name for photo in photos if photo.name not in prompted]
        log.warning("%d of %d photos have no prompts in %s: %s", len(without), len(photos), source, listed(without))
    return kept


def _log_unused(what: str, names: Sequence[str]) -> None:
    if names:
        log.warning("prompt: %d %s are not among the images: %s", len(names), what, listed(names))


def _objects(path: Path, values: MaskValues) -> list[np.ndarray]:
    pixels = read_mask_pixels(path)
    masks = [object_of(pixels, values, number) for number in ids_of(pixels, values)]
    found = [mask for mask in masks if mask.max() > OBJECT_THRESHOLD]
    if not found:
        raise DataError(
            f"expected an object in the mask {path}; it is empty (mask_values={values}); draw it, or remove it"
        )
    return found
