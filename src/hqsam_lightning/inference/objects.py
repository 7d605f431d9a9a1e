"""Objects of an image: the prompts that ask for one, in pixels of the image, and the mask that was found of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from hqsam_lightning.cuts import Cut, cut_around
from hqsam_lightning.data.framing import Pad
from hqsam_lightning.errors import PromptError
from hqsam_lightning.types import OBJECT_THRESHOLD, Prompt

MASK_LOGIT = 10.0
"""Logit of a pixel that is surely on the object of a coarse mask, as SAM's own masks have them."""
FAINT = -6.0
"""Logits below it are transparent in 8 bits."""


@dataclass(frozen=True)
class ObjectPrompt:
    """What shows one object of an image; what is not shown is None.

    Attributes:
        box: xyxy in pixels of the image.
        points: (x, y, label) of each point, in pixels of the image; the label is 1 on the object, 0 off it.
        mask: (H0, W0) float32 in [0, 1], a coarse mask.
    """

    box: tuple[float, float, float, float] | None = None
    points: tuple[tuple[float, float, int], ...] = ()
    mask: np.ndarray | None = None

    def check(self, size: Sequence[int]) -> None:
        """Makes sure that the prompt is one for an image.

        Args:
            size: (H0, W0) of the image.

        Raises:
            PromptError: nothing is shown, or what is shown lies outside of the image.
        """
        height, width = size[:2]
        if self.box is None and not self.points and self.mask is None:
            raise PromptError("prompt: expected a box, points or a mask; got none")
        if self.box is not None:
            left, top, right, bottom = self.box
            if not (left < right and top < bottom and left < width and top < height and right > 0 and bottom > 0):
                raise PromptError(
                    f"box: expected x0 < x1 and y0 < y1 (pixels) in an image of width x height {width}x{height}; got "
                    f"{list(self.box)}"
                )
        for x, y, _ in self.points:
            if not (0 <= x <= width and 0 <= y <= height):
                raise PromptError(
                    f"point: expected (x, y) in an image of width x height {width}x{height}; got ({x:g}, {y:g})"
                )
        if self.mask is not None and (self.mask.shape != (height, width) or self.mask.max() <= OBJECT_THRESHOLD):
            raise PromptError(
                f"mask: expected an object in a mask of the image's width x height {width}x{height}; got values up to "
                f"{self.mask.max():.2f} in {self.mask.shape[1]}x{self.mask.shape[0]}"
            )

    def extent(self) -> tuple[float, float, float, float]:
        """Box xyxy around everything that is shown."""
        corners = [] if self.box is None else [self.box[:2], self.box[2:]]
        corners += [(x, y) for x, y, _ in self.points]
        if self.mask is not None:
            box = mask_box(self.mask > OBJECT_THRESHOLD)
            corners += [box[:2], box[2:]]
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def cut(self, size: Sequence[int], margin: float) -> Cut:
        """What of an image the object is looked for in: around its box and its points on the object.

        Args:
            size: (H0, W0) of the image.
            margin: see `hqsam_lightning.cuts.cut_around`.

        Raises:
            PromptError: there are points alone.
        """
        if self.box is None and self.mask is None:
            raise PromptError(
                "frame: expected photo where an object is shown by points alone; nothing says where to cut; set "
                "frame=photo, or give a box too"
            )
        on_object = tuple(point for point in self.points if point[2])
        return cut_around(replace(self, points=on_object).extent(), size, margin)

    def within(self, cut: Cut) -> ObjectPrompt:
        """The prompt in pixels of a cut; points off the object that lie outside of it are left out."""
        right, bottom = cut.left + cut.width, cut.top + cut.height
        points = tuple(each for each in self.points if cut.left <= each[0] <= right and cut.top <= each[1] <= bottom)
        moved = replace(self, points=points, mask=None).moved(cut.left, cut.top)
        return moved if self.mask is None else replace(moved, mask=cut.of(self.mask))

    def moved(self, left: float, top: float) -> ObjectPrompt:
        """Box and points in pixels of a part of the image that begins at (left, top)."""
        box = self.box and (self.box[0] - left, self.box[1] - top, self.box[2] - left, self.box[3] - top)
        return ObjectPrompt(box, tuple((x - left, y - top, label) for x, y, label in self.points))

    def in_frame(self, size: Sequence[int], frame: Pad, mask_input_size: int) -> Prompt:
        """The prompt in pixels of the input frame, as `SamPredictor` converts it; a mask is shown with its box.

        Args:
            size: (H0, W0) of the image.
            frame: that the image is fitted into.
            mask_input_size: 4h = 4w of the SAM.
        """
        height, width = frame.inside(size)
        scale = np.array([width / size[1], height / size[0]])
        box = self.box
        if box is None and self.mask is not None:
            box = mask_box(self.mask > OBJECT_THRESHOLD)
        points = np.array([point[:2] for point in self.points]) * scale if self.points else None
        return Prompt(
            box=None if box is None else torch.from_numpy(np.array(box) * np.tile(scale, 2)).float(),
            point_coords=None if points is None else torch.from_numpy(points).float(),
            point_labels=torch.tensor([label for *_, label in self.points]) if self.points else None,
            mask=None if self.mask is None else _mask_input(self.mask, mask_input_size),
        )


@dataclass(frozen=True)
class Segment:
    """The mask of an object in a part of its image; all else is background.

    Attributes:
        mask: (h, w) bool.
        left: x of the part, in pixels of the image.
        top: y of the part.
        score: SAM's prediction of the mask's IoU.
        logits: (h, w) float32; None where they are not known.
    """

    mask: np.ndarray
    left: int
    top: int
    score: float
    logits: np.ndarray | None = None

    @classmethod
    def from_logits(cls, logits: Tensor, score: float, left: int = 0, top: int = 0) -> Segment:
        """Takes (h, w) logits of a part of the image."""
        values = logits.float().cpu().numpy()
        return cls(values > 0, left, top, score, values)

    def whole(self, size: Sequence[int]) -> np.ndarray:
        """(H0, W0) bool mask of an image of that size."""
        return self._placed(self.mask, size)

    def alpha(self, size: Sequence[int]) -> np.ndarray:
        """(H0, W0) uint8: 255 times the sigmoid of the logits, or of the mask where there are none."""
        if self.logits is None:
            return self.whole(size).astype(np.uint8) * 255
        return self._placed(soft_alpha(self.logits), size)

    def trimmed(self) -> Segment:
        """The same in the smallest part that has everything but transparent pixels; one pixel of nothing."""
        seen = self.mask if self.logits is None else self.logits > FAINT
        if not seen.any():
            return Segment(self.mask[:1, :1], self.left, self.top, self.score)
        left, top, right, bottom = (int(value) for value in mask_box(seen))
        part = np.s_[top : bottom + 1, left : right + 1]
        logits = None if self.logits is None else self.logits[part].copy()
        return Segment(self.mask[part].copy(), self.left + left, self.top + top, self.score, logits)

    def _placed(self, part: np.ndarray, size: Sequence[int]) -> np.ndarray:
        if part.shape == tuple(size[:2]):
            return part
        whole = np.zeros(tuple(size[:2]), part.dtype)
        whole[self.top : self.top + part.shape[0], self.left : self.left + part.shape[1]] = part
        return whole


def soft_alpha(logits: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of (H, W) float32 logits: 255 times their sigmoid."""
    return torch.from_numpy(logits).sigmoid().mul(255).round().to(torch.uint8).numpy()


def mask_box(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Tight xyxy box of a bool mask with a pixel in it, both corners inclusive."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1])


def _mask_input(mask: np.ndarray, side: int) -> Tensor:
    """(1, side, side) logits of a coarse mask."""
    height, width = Pad(side).inside(mask.shape)
    small = np.zeros((side, side), np.float32)
    small[:height, :width] = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
    return torch.from_numpy((2 * small - 1) * MASK_LOGIT)[None]
