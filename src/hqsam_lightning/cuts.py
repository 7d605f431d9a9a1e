"""Cuts: the part of a photo around a box, which is shown to the model instead of the photo, and the way back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

Planes = TypeVar("Planes", np.ndarray, Tensor)
LEAST_SIDE = 64
"""Pixels of a photo that a cut has at least on each side, so that a box of a few pixels is not enlarged to a blur."""


class Cut(NamedTuple):
    """A part of a photo, in whole pixels of it.

    Attributes:
        left: x of its first column.
        top: y of its first line.
        width: number of its columns.
        height: number of its lines.
    """

    left: int
    top: int
    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    def of(self, array: Planes) -> Planes:
        """This part of an (H0, W0, ...) array or tensor."""
        return array[self.top : self.top + self.height, self.left : self.left + self.width]

    def paste(self, values: Tensor, size: Sequence[int], outside: float) -> Tensor:
        """Puts (..., height, width) values where they are in a photo.

        Args:
            values: of the cut's pixels.
            size: (H0, W0) of the photo.
            outside: value of all other pixels.

        Returns:
            (..., H0, W0) of the same type.
        """
        whole = values.new_full((*values.shape[:-2], *size), outside)
        whole[..., self.top : self.top + self.height, self.left : self.left + self.width] = values
        return whole


@dataclass
class PhotoToCut:
    """A photo at its own size, of which each prompt is shown a cut.

    Attributes:
        image: (H0, W0, 3) uint8.
        cuts: by the name of the prompts, what each of the M masks' is shown.
        fit: (h, w, 3) uint8 of a cut -> (3, H, W) of the model's input frame.
    """

    image: np.ndarray
    cuts: dict[str, list[Cut]]
    fit: Callable[[np.ndarray], Tensor]


class CutPhotos:
    """B photos at their own size, of which each of N prompts is shown a cut; what is encoded is made when it is.

    Args:
        photos: each (H0, W0, 3) uint8.
        cuts: what each prompt is shown.
        image_index: the photo of each prompt.
        fit: see `PhotoToCut`.
        at_once: most cuts of one forward pass of the encoder.
    """

    def __init__(
        self,
        photos: Sequence[np.ndarray],
        cuts: Sequence[Cut],
        image_index: Sequence[int],
        fit: Callable[[np.ndarray], Tensor],
        at_once: int,
    ) -> None:
        self.photos, self.cuts, self.image_index = list(photos), list(cuts), list(image_index)
        self.fit, self.at_once = fit, at_once

    def __len__(self) -> int:
        return len(self.photos)

    def part(self, start: int, stop: int) -> CutPhotos:
        """The same photos with some of the prompts, from `start` until before `stop`."""
        return CutPhotos(self.photos, self.cuts[start:stop], self.image_index[start:stop], self.fit, self.at_once)

    def frames(self) -> Tensor:
        """(N, 3, H, W), each prompt's cut in the model's input frame."""
        shown = zip(self.cuts, self.image_index, strict=True)
        return torch.stack([self.fit(np.ascontiguousarray(cut.of(self.photos[place]))) for cut, place in shown])


def cut_around(box: Sequence[float], size: Sequence[int], margin: float) -> Cut:
    """The part of a photo around a box.

    It ends at the photo's edges: no pixel is invented. A side under `LEAST_SIDE` grows to it, as far as the photo goes.

    Args:
        box: xyxy in pixels of the photo; the cut has the pixels that both corners lie in.
        size: (H0, W0) of the photo.
        margin: that is added on each side, as a multiple of the box's own width or height.
    """
    x0, y0, x1, y1 = box
    left, right = _span(x0, x1, margin, size[1])
    top, bottom = _span(y0, y1, margin, size[0])
    return Cut(left, top, right - left, bottom - top)


def _span(low: float, high: float, margin: float, length: int) -> tuple[int, int]:
    """First pixel and that behind the last one, on a side of a photo that has `length` pixels."""
    added = margin * (high - low)
    start = min(max(0, math.floor(low - added)), length - 1)
    end = max(min(length, math.floor(high + added) + 1), start + 1)
    side = min(length, max(end - start, LEAST_SIDE))
    start = min(max(0, start - (side - (end - start)) // 2), length - side)
    return start, start + side
