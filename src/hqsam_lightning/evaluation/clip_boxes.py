"""Boxes that prompt the tracks of a clip: of its true masks, of another method, or of what was predicted before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from hqsam_lightning.data.tracks import Box
from hqsam_lightning.evaluation.table import Row

PROPAGATED, GROUND_TRUTH, GIVEN = "propagated", "ground_truth", "given"
"""Sources of boxes, as tables name the prompts; given boxes are those of another method."""
Boxes = list[Box | None]
"""One per track, None where it is not in the frame."""


def boxes_from(source: str, growth: float, given: Callable[[int], Boxes]) -> ClipBoxes:
    """Boxes of a clip.

    Args:
        source: `PROPAGATED`, `GROUND_TRUTH` or `GIVEN`.
        growth: see `PropagatedBoxes`.
        given: see `GivenBoxes`.
    """
    if source == PROPAGATED:
        return PropagatedBoxes(growth)
    return TrueBoxes() if source == GROUND_TRUTH else GivenBoxes(given)


def box_around(mask: np.ndarray) -> Box | None:
    """Tight box of an (H, W) bool mask, with inclusive corners; None where it is empty."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return (x, y, x + width - 1, y + height - 1) if width else None


def grown(box: Box, share: float, size: Sequence[int]) -> Box:
    """A box with a share of its width and height added on each side, cut off at the edges of a frame of (H, W)."""
    x0, y0, x1, y1 = box
    across, down = share * (x1 - x0 + 1), share * (y1 - y0 + 1)
    return max(0.0, x0 - across), max(0.0, y0 - down), min(size[1] - 1.0, x1 + across), min(size[0] - 1.0, y1 + down)


class ClipBoxes(ABC):
    """Boxes of one clip's N tracks, which are asked for frame after frame.

    Attributes:
        follows: whether a row's boxes follow from its own predictions; otherwise those of all rows are the same.
    """

    follows = False

    @abstractmethod
    def at(self, frame: int, targets: np.ndarray, row: Row) -> Boxes:
        """The boxes of a frame.

        Args:
            frame: its place in the clip.
            targets: (M, H, W) bool, the true masks in it.
            row: (variant, output) that is prompted.
        """

    def follow(self, row: Row, masks: np.ndarray) -> None:
        """Takes the (N, H, W) bool masks that a row predicted in the frame that was asked for last."""
        return


class TrueBoxes(ClipBoxes):
    """The boxes of the true masks: there is a track of every object."""

    def at(self, frame: int, targets: np.ndarray, row: Row) -> Boxes:
        """The boxes around the true masks."""
        return [box_around(mask) for mask in targets]


class GivenBoxes(ClipBoxes):
    """Boxes of another method.

    Args:
        read: gives the N boxes of a frame.
    """

    def __init__(self, read: Callable[[int], Boxes]) -> None:
        self.read = read

    def at(self, frame: int, targets: np.ndarray, row: Row) -> Boxes:
        """The boxes that are given."""
        return self.read(frame)


class PropagatedBoxes(ClipBoxes):
    """The box of an object's first true mask, for its first frame and the next; then of the previous prediction.

    No other true mask is used. Where nothing was predicted, the last box stays.

    Args:
        growth: share of a box's width and height that it grows by on each side before it prompts the next frame.
    """

    follows = True

    def __init__(self, growth: float) -> None:
        self.growth = growth
        self._boxes: dict[Row, Boxes] = {}
        self._fresh: dict[Row, set[int]] = {}

    def at(self, frame: int, targets: np.ndarray, row: Row) -> Boxes:
        """The boxes that a row's predictions led to, and those of objects that appear."""
        boxes = self._boxes.setdefault(row, [None] * len(targets))
        unseen = [place for place, box in enumerate(boxes) if box is None and targets[place].any()]
        self._fresh[row] = set(unseen)
        for place in unseen:
            boxes[place] = box_around(targets[place])
        return list(boxes)

    def follow(self, row: Row, masks: np.ndarray) -> None:
        """Moves the boxes to what was predicted, except of an object whose true mask was shown."""
        boxes = self._boxes[row]
        for place, mask in enumerate(masks):
            box = boxes[place] if place in self._fresh[row] else box_around(mask)
            if box is not None:
                boxes[place] = grown(box, self.growth, mask.shape)
