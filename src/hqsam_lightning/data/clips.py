"""Clips of video in folders, laid out as DAVIS is: a folder of photos and one of masks per clip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from hqsam_lightning.data.folders import Folder
from hqsam_lightning.data.mask_pixels import read_mask_pixels
from hqsam_lightning.data.mask_values import MaskValues, ids_of, object_of
from hqsam_lightning.data.names import PHOTO_SUFFIXES, in_order
from hqsam_lightning.data.problems import listed, shown
from hqsam_lightning.data.reading import read_image
from hqsam_lightning.errors import DataError
from hqsam_lightning.storage.files import UNREADABLE, require_regular_file
from hqsam_lightning.types import OBJECT_THRESHOLD

MASK_SUFFIXES = (".png",)
REMEDY = "copy the clip again"
LEAST_FRAMES = 3
"""DAVIS scores neither a clip's first frame nor its last one."""


@dataclass(frozen=True)
class Clip(ABC):
    """The frames of a video and the true masks of its objects.

    Attributes:
        name: unique in its set.
        photos: one path per frame, in their order.
        objects: ids of the M objects.
    """

    name: str
    photos: tuple[Path, ...]
    objects: tuple[int, ...]

    def read(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Reads a frame and the true masks in it.

        Returns:
            (H, W, 3) uint8 RGB, and (M, H, W) bool; a mask is empty where its object is not in the frame.

        Raises:
            DataError: a file cannot be read, or the sizes differ.
        """
        image, masks = read_image(self.photos[frame]), self.masks(frame)
        if image.shape[:2] != masks.shape[1:]:
            raise DataError(
                f"expected masks of their frame's size, got height x width {image.shape[0]}x{image.shape[1]} in "
                f"{self.photos[frame]} and {masks.shape[1]}x{masks.shape[2]} of its masks; {REMEDY}"
            )
        return image, masks

    @abstractmethod
    def masks(self, frame: int) -> np.ndarray:
        """Reads the true masks alone, (M, H, W) bool; a `DataError` for those that cannot be read."""


@dataclass(frozen=True)
class FolderClip(Clip):
    """A clip whose masks are files, one per frame, with all of its objects.

    Attributes:
        annotations: one path per frame.
        values: what the values of the masks mean; decided.
        others: another method's masks of the same objects, one path per frame; empty without one.
    """

    annotations: tuple[Path, ...]
    values: MaskValues
    others: tuple[Path, ...] = ()

    def masks(self, frame: int) -> np.ndarray:
        """Reads a frame's file; all of its objects have to be in the clip's first one."""
        return self._masks_in(self.annotations[frame])

    def other_masks(self, frame: int) -> np.ndarray:
        """Reads another method's masks of a frame, as `masks` does."""
        return self._masks_in(self.others[frame])

    def _masks_in(self, path: Path) -> np.ndarray:
        pixels = read_mask_pixels(path)
        unknown = [str(each) for each in ids_of(pixels, self.values) if each not in self.objects]
        if unknown:
            raise DataError(
                f"expected the objects of the clip's first mask, {listed([*map(str, self.objects)])}; got "
                f"{listed(unknown)} in {pixels.path}; correct its values or palette indices"
            )
        return np.stack([object_of(pixels, self.values, each) > OBJECT_THRESHOLD for each in self.objects])


def find_clips(
    images: Path, annotations: Path, values: MaskValues, names: Path | None = None, others: Path | None = None
) -> tuple[list[FolderClip], list[str]]:
    """Finds the clips of a set.

    Args:
        images: folder with a folder of photos for each clip.
        annotations: folder with a folder of masks for each clip, named as their photos.
        values: what the masks' values mean; decided.
        names: text file with a clip, or with a photo and its mask, on each line, as DAVIS's ImageSets are; None takes
            every folder of `annotations`.
        others: folder of another method's masks, laid out as `annotations`; None without one.

    Returns:
        The clips that can be used, by name; and what is wrong with the others, a line each.

    Raises:
        DataError: the folder or the file cannot be read.
    """
    wanted = sorted(Folder.scan(annotations, MASK_SUFFIXES).folders if names is None else _read_names(names))
    clips, problems = [], []
    for name in wanted:
        try:
            clip = _find_clip(name, images, annotations, values)
            clips.append(clip if others is None else replace(clip, others=_same_frames(clip, others / name)))
        except DataError as error:
            problems.append(f"clip {shown(name)}: {error}")
    return clips, problems


def _find_clip(name: str, images: Path, annotations: Path, values: MaskValues) -> FolderClip:
    photos, masks = files_by_stem(images / name, PHOTO_SUFFIXES), files_by_stem(annotations / name, MASK_SUFFIXES)
    for one, other, folder in ((photos, masks, annotations), (masks, photos, images)):
        if missing := [stem for stem in one if stem not in other]:
            raise DataError(
                f"expected {len(one)} frames in {folder / name}, got {len(one) - len(missing)} of them, without "
                f"{listed(missing)}; {REMEDY}"
            )
    _refuse_gaps(list(photos), images / name)
    if len(photos) < LEAST_FRAMES:
        raise DataError(f"expected at least {LEAST_FRAMES} frames in {images / name}, got {len(photos)}; {REMEDY}")
    annotated = tuple(masks[stem] for stem in photos)
    return FolderClip(name, tuple(photos.values()), objects_of(annotated[0], values), annotated, values)


def _same_frames(clip: FolderClip, folder: Path) -> tuple[Path, ...]:
    """A mask in a folder for each frame of a clip."""
    found = files_by_stem(folder, MASK_SUFFIXES)
    if missing := [photo.stem for photo in clip.photos if photo.stem not in found]:
        raise DataError(f"expected a mask of each frame in {folder}, got none of {listed(missing)}; predict it again")
    return tuple(found[photo.stem] for photo in clip.photos)


def objects_of(path: Path, values: MaskValues) -> tuple[int, ...]:
    """Ids of a mask's objects; (0,) where the values are of one object per file.

    Raises:
        DataError: the mask cannot be read, or shows no object.
    """
    pixels = read_mask_pixels(path)
    found = ids_of(pixels, values)
    if not any((object_of(pixels, values, each) > OBJECT_THRESHOLD).any() for each in found):
        raise DataError(
            f"expected an object in the clip's first mask (mask_values={values}), got values {pixels.shown.min()} to "
            f"{pixels.shown.max()} in {path}; mark it, or set suite.mask_values"
        )
    return tuple(found)


def files_by_stem(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """A clip's files by their names without suffix, in the order of the frames.

    Raises:
        DataError: the folder cannot be listed, or has none.
    """
    found = {Path(name).stem: folder / name for name in Folder.scan(folder, suffixes).files}
    if not found:
        raise DataError(f"expected frames ({', '.join(suffixes)}) in {folder}, got none; {REMEDY}")
    return {stem: found[stem] for stem in sorted(found, key=in_order)}


def _refuse_gaps(stems: Sequence[str], folder: Path) -> None:
    """Refuses numbered frames whose numbers skip some; a clip may have every fifth frame."""
    if not all(stem.isdecimal() for stem in stems) or len(stems) < 2:
        return
    steps = [int(after) - int(before) for before, after in pairwise(stems)]
    for step, before, after in zip(steps, stems, stems[1:], strict=False):
        if step != min(steps):
            raise DataError(
                f"expected frames numbered in steps of {min(steps)}, got {after} after {before} in {folder}; {REMEDY}"
            )


def _read_names(path: Path) -> set[str]:
    """Names of clips; of lines with paths, the folders of their first files."""
    require_regular_file(path, DataError, "set suite.clips to a text file with the names of clips, or null")
    try:
        lines = path.read_text().split("\n")
    except UNREADABLE as error:
        raise DataError(f"{path}: expected a text file, cannot read it ({error}); download it again") from error
    firsts = [line.split()[0] for line in lines if line.strip()]
    found = {Path(each).parent.name if "/" in each else each for each in firsts}
    if not found:
        raise DataError(f"{path}: expected the name of a clip on each line, got none; download the file again")
    return found
