"""Windows of large images: a grid that covers one, and windows around objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hqsam_lightning.errors import ConfigError


class Window(NamedTuple):
    """A part of an image, in its pixels; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int

    def of(self, image: np.ndarray) -> np.ndarray:
        """The part of an image or mask (H0, W0, ...)."""
        return np.ascontiguousarray(image[self.top : self.bottom, self.left : self.right])

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)."""
        return self.bottom - self.top, self.right - self.left

    def holds(self, box: Sequence[float]) -> bool:
        """Whether an xyxy box lies inside."""
        return self.left <= box[0] and self.top <= box[1] and box[2] <= self.right and box[3] <= self.bottom

    def cuts(self, mask: np.ndarray, size: Sequence[int]) -> bool:
        """Whether a mask of the window reaches one of its sides that is not the side of the image (H0, W0)."""
        sides = ((mask[:, 0], self.left > 0), (mask[0], self.top > 0))
        ends = ((mask[:, -1], self.right < size[1]), (mask[-1], self.bottom < size[0]))
        return any(inside and bool(side.any()) for side, inside in (*sides, *ends))


def grid(size: Sequence[int], tile: int, overlap: int) -> list[Window]:
    """Evenly spaced windows that cover an image.

    Args:
        size: (H0, W0) of the image.
        tile: side of a window; an image that is smaller has one window.
        overlap: least number of pixels that neighbours share.
    """
    columns, rows = (_spans(length, tile, overlap) for length in (size[1], size[0]))
    return [Window(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def require_overlap(tile: int, overlap: int) -> None:
    """Makes sure that tiles move on.

    Raises:
        ConfigError: the overlap is more than half of the tile.
    """
    if 2 * overlap > tile:
        raise ConfigError(f"overlap: expected at most half of the tile, {tile // 2} pixels; got {overlap}")


def with_margin(box: Sequence[float], margin: int, size: Sequence[int]) -> tuple[float, float, float, float]:
    """A box xyxy that is larger on each side, cut to the image."""
    height, width = size
    left, top = max(0, box[0] - margin), max(0, box[1] - margin)
    return left, top, min(width, box[2] + margin), min(height, box[3] + margin)


def centred(box: Sequence[float], tile: int, size: Sequence[int]) -> Window:
    """The window around a box's centre, moved into the image."""
    height, width = size
    left = min(max(0, round((box[0] + box[2] - tile) / 2)), max(0, width - tile))
    top = min(max(0, round((box[1] + box[3] - tile) / 2)), max(0, height - tile))
    return Window(left, top, min(width, left + tile), min(height, top + tile))


def ramp(start: int, end: int, length: int, overlap: int) -> np.ndarray:
    """(end - start,) weights of a tile along an axis: 1, but towards a side inside the image less and less."""
    places = np.arange(end - start) + 0.5
    weights = np.ones(end - start, np.float32)
    if start > 0:
        weights = np.minimum(weights, places / max(1, overlap))
    if end < length:
        weights = np.minimum(weights, (end - start - places) / max(1, overlap))
    return weights.astype(np.float32)


def _spans(length: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    if length <= tile:
        return [(0, length)]
    count = -(-(length - overlap) // (tile - overlap))
    starts = [round(number * (length - tile) / (count - 1)) for number in range(count)]
    return [(start, start + tile) for start in starts]
