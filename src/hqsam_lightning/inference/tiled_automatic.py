"""Masks of everything in large photos: found tile by tile, and joined where neighbours agree in what they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from hqsam_lightning.inference.automatic import SamAutomaticMaskGenerator
from hqsam_lightning.inference.model import HQSam
from hqsam_lightning.inference.objects import Segment
from hqsam_lightning.inference.prompts import require_image
from hqsam_lightning.inference.windows import Window, grid, require_overlap

JOINED = 0.5
"""Least IoU, within what two tiles share, of masks that are of one object."""


class TiledMaskGenerator:
    """Finds everything in an image that is much larger than the model's input frame.

    Masks of two tiles are joined where each is the other's best match in the pixels that the tiles share.

    Args:
        model: to predict with.
        tile: side of a tile in pixels of the image.
        overlap: least number of pixels that neighbouring tiles share.
        options: of `SamAutomaticMaskGenerator`.

    Raises:
        ConfigError: the overlap is more than half of the tile.
    """

    def __init__(self, model: HQSam, tile: int = 1024, overlap: int = 128, **options: Any) -> None:
        require_overlap(tile, overlap)
        self.tile, self.overlap = tile, overlap
        self._generator = SamAutomaticMaskGenerator(model, **options)

    def generate(self, image: np.ndarray) -> list[Segment]:
        """Finds masks.

        Args:
            image: (H, W, 3) uint8 RGB.

        Raises:
            PromptError: the image has another shape or type.
        """
        windows = grid(require_image(image).shape[:2], self.tile, self.overlap)
        pieces = [
            _Piece(number, Segment(record["segmentation"], window.left, window.top, record["predicted_iou"]).trimmed())
            for number, window in enumerate(windows)
            for record in self._generator.generate(window.of(image))
        ]
        return [_union([pieces[place].segment for place in group]) for group in _groups(pieces, windows)]


@dataclass(frozen=True)
class _Piece:
    """A mask in one of the windows."""

    window: int
    segment: Segment

    def inside(self, part: Window) -> np.ndarray:
        """(h, w) bool mask in a part of the image."""
        segment, found = self.segment, np.zeros(part.size, bool)
        height, width = segment.mask.shape
        top, bottom = max(part.top, segment.top), min(part.bottom, segment.top + height)
        left, right = max(part.left, segment.left), min(part.right, segment.left + width)
        if top < bottom and left < right:
            own = segment.mask[top - segment.top : bottom - segment.top, left - segment.left : right - segment.left]
            found[top - part.top : bottom - part.top, left - part.left : right - part.left] = own
        return found


def _groups(pieces: Sequence[_Piece], windows: Sequence[Window]) -> list[list[int]]:
    """Places of the pieces of each object, in the order of their first."""
    of_window: list[list[int]] = [[] for _ in windows]
    for place, piece in enumerate(pieces):
        of_window[piece.window].append(place)
    object_of = list(range(len(pieces)))
    for (first, one), (second, other) in combinations(enumerate(windows), 2):
        shared = _shared(one, other)
        if shared is not None:
            for left, right in _matches(pieces, of_window[first], of_window[second], shared):
                kept, gone = sorted((object_of[left], object_of[right]))
                object_of = [kept if each == gone else each for each in object_of]
    return [[place for place, each in enumerate(object_of) if each == first] for first in sorted(set(object_of))]


def _matches(
    pieces: Sequence[_Piece], first: Sequence[int], second: Sequence[int], shared: Window
) -> Iterator[tuple[int, int]]:
    """Pairs of pieces of two windows that are of one object."""
    sides = [{place: pieces[place].inside(shared) for place in places} for places in (first, second)]
    ours, theirs = ({place: mask for place, mask in side.items() if mask.any()} for side in sides)
    if not ours or not theirs:
        return
    overlaps = np.array([[_iou(mask, other) for other in theirs.values()] for mask in ours.values()])
    names = list(theirs)
    for row, place in enumerate(ours):
        column = int(overlaps[row].argmax())
        if overlaps[row, column] >= JOINED and overlaps[:, column].argmax() == row:
            yield place, names[column]


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def _shared(one: Window, other: Window) -> Window | None:
    left, top = max(one.left, other.left), max(one.top, other.top)
    right, bottom = min(one.right, other.right), min(one.bottom, other.bottom)
    return Window(left, top, right, bottom) if left < right and top < bottom else None


def _union(segments: Sequence[Segment]) -> Segment:
    """The segments as one, with the mean of their scores."""
    left, top = min(each.left for each in segments), min(each.top for each in segments)
    right = max(each.left + each.mask.shape[1] for each in segments)
    bottom = max(each.top + each.mask.shape[0] for each in segments)
    region = Window(left, top, right, bottom)
    mask = np.logical_or.reduce([_Piece(0, each).inside(region) for each in segments])
    return Segment(mask, left, top, float(np.mean([each.score for each in segments])))
