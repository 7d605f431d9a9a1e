"""Tracks: one object's boxes or masks through the frames of a video, checked entry by entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hqsam_lightning.data.boxes import Box, box_within, is_number
from hqsam_lightning.data.clips import Clip
from hqsam_lightning.data.problems import shown
from hqsam_lightning.data.segmentations import Segmentation, decode, segmentation_problem
from hqsam_lightning.errors import DataError


@dataclass(frozen=True)
class Track:
    """An object of a video over its T frames, true or found.

    Attributes:
        category: id of its category.
        segmentations: T, None where the object is not in a frame; empty for a track of boxes.
        boxes: T, None where the object is not in a frame; empty for a track of masks.
        score: the confidence of a track that was found.
        crowd: whether a true one is a crowd.
        area: mean area in pixels that the file states, over the frames that the object is in; None where it does not.
    """

    category: int
    segmentations: tuple[Segmentation | None, ...] = ()
    boxes: tuple[Box | None, ...] = ()
    score: float = 1.0
    crowd: bool = False
    area: float | None = None

    def mask(self, frame: int, size: tuple[int, int]) -> np.ndarray:
        """(H, W) bool mask in a frame of size (H, W)."""
        segmentation = self.segmentations[frame]
        return np.zeros(size, bool) if segmentation is None else decode(segmentation, size)


@dataclass(frozen=True)
class AnnotatedClip(Clip):
    """A clip whose masks are in JSON.

    Attributes:
        size: (height, width) of its frames.
        tracks: of the M objects.
    """

    size: tuple[int, int]
    tracks: tuple[Track, ...] = ()

    def masks(self, frame: int) -> np.ndarray:
        """Decodes the masks of a frame."""
        masks = np.zeros((len(self.tracks), *self.size), bool)
        for place, track in enumerate(self.tracks):
            masks[place] = track.mask(frame, self.size)
        return masks


def true_track(entry: Mapping[str, Any], clip: AnnotatedClip) -> Track:
    """Checks an annotation of a clip.

    Raises:
        DataError: describing what is wrong.
    """
    crowd = entry.get("iscrowd", 0)
    if type(crowd) is not int or crowd not in (0, 1):
        raise DataError(f"expected an iscrowd of 0 or 1, got {shown(crowd)}")
    masks = _segmentations(entry.get("segmentations"), clip)
    return Track(entry["category_id"], masks, crowd=bool(crowd), area=_area(entry.get("areas"), clip))


def found_track(entry: Mapping[str, Any], clip: AnnotatedClip) -> Track:
    """Checks a detector's track of a clip: its boxes, or its masks where it has no boxes.

    Raises:
        DataError: describing what is wrong.
    """
    score = entry.get("score")
    if not is_number(score):
        raise DataError(f"expected a score (finite number), got {shown(score)}")
    if "bboxes" in entry:
        return Track(entry["category_id"], boxes=_boxes(entry["bboxes"], clip), score=float(score))
    return Track(entry["category_id"], _segmentations(entry.get("segmentations"), clip), score=float(score))


def _segmentations(values: object, clip: AnnotatedClip) -> tuple[Segmentation | None, ...]:
    found = _one_each(values, "segmentations", clip)
    for frame, value in enumerate(found):
        if value is None:
            continue
        if problem := segmentation_problem(value):
            raise DataError(f"frame {frame}: {problem}")
        if isinstance(value, Mapping) and tuple(value["size"]) != clip.size:
            raise DataError(
                f"frame {frame}: expected run lengths of the video's size (height, width) {clip.size}, got "
                f"{tuple(value['size'])}"
            )
    return tuple(found)


def _boxes(values: object, clip: AnnotatedClip) -> tuple[Box | None, ...]:
    found = _one_each(values, "bboxes", clip)
    return tuple(None if value is None else _box(frame, value, clip.size) for frame, value in enumerate(found))


def _box(frame: int, value: object, size: tuple[int, int]) -> Box:
    try:
        return box_within(value, size)
    except DataError as error:
        raise DataError(f"frame {frame}: {error}") from error


def _one_each(values: object, key: str, clip: AnnotatedClip) -> list[Any]:
    if not isinstance(values, list) or len(values) != len(clip.photos):
        count = f"{len(values)} of them" if isinstance(values, list) else shown(values)
        raise DataError(f"expected {key}, one or null for each of {len(clip.photos)} frames; got {count}")
    if all(value is None for value in values):
        raise DataError(f"expected {key} of at least one frame, got null for all")
    return values


def _area(values: object, clip: AnnotatedClip) -> float | None:
    """Mean of the areas that are stated and not 0, by which YouTube-VIS tells small objects from large ones."""
    if values is None:
        return None
    stated = [value for value in _one_each(values, "areas", clip) if value]
    if not stated or not all(is_number(value) and value > 0 for value in stated):
        raise DataError(f"expected areas (numbers > 0, or null), got {shown(values)}")
    return float(sum(stated) / len(stated))
