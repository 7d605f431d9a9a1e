"""Segments the frames of a clip: each is encoded once for all methods, and its tracks are prompted by their boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hqsam_lightning.data.clips import Clip
from hqsam_lightning.data.framing import Frame
from hqsam_lightning.evaluation.clip_boxes import Boxes, ClipBoxes
from hqsam_lightning.evaluation.model import EncodedImages, Model
from hqsam_lightning.evaluation.table import Row
from hqsam_lightning.types import PromptGroup


@dataclass(frozen=True)
class SegmentedFrame:
    """One frame of a clip.

    Attributes:
        targets: (M, H, W) bool, the true masks.
        masks: (N, H, W) bool of each (variant, output); a mask is empty where its track has no box.
    """

    targets: Tensor
    masks: dict[Row, Tensor]


@dataclass(frozen=True)
class ClipSegmenter:
    """How clips are segmented.

    Attributes:
        frame: fits a clip's frames into the model's.
        model: predicts.
        frames_at_once: frames per forward pass of the encoder.
        disjoint: whether a pixel belongs to one track at most: that of the highest logit, or the first of several.
    """

    frame: Frame
    model: Model
    frames_at_once: int
    disjoint: bool

    def __call__(self, clip: Clip, boxes: ClipBoxes) -> Iterator[SegmentedFrame]:
        """Yields one frame after another.

        Raises:
            DataError: a frame or its masks cannot be read.
        """
        device = self.model.sam.device
        for start in range(0, len(clip.photos), self.frames_at_once):
            numbers = range(start, min(start + self.frames_at_once, len(clip.photos)))
            read = [clip.read(number) for number in numbers]
            encoded = self.model.encode(torch.stack([self.fitted(image) for image, _ in read]).to(device))
            for place, (number, (_, targets)) in enumerate(zip(numbers, read, strict=True)):
                masks = self._segment(encoded, place, number, targets, boxes)
                yield SegmentedFrame(torch.from_numpy(targets).to(device), masks)

    def fitted(self, image: np.ndarray) -> Tensor:
        """(H0, W0, 3) uint8 photo -> (3, H, W) pixels of the model's frame."""
        pixels = self.frame.place(image, np.zeros((0, *image.shape[:2]), np.float32)).image
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))

    def _segment(
        self, encoded: EncodedImages, place: int, number: int, targets: np.ndarray, boxes: ClipBoxes
    ) -> dict[Row, Tensor]:
        size, rows = targets.shape[1:], self.model.rows
        if not boxes.follows:
            return self._decode(encoded, place, boxes.at(number, targets, rows[0]), size, rows)
        masks: dict[Row, Tensor] = {}
        for row in rows:
            masks |= self._decode(encoded, place, boxes.at(number, targets, row), size, [row])
            boxes.follow(row, masks[row].cpu().numpy())
        return masks

    def _decode(
        self, encoded: EncodedImages, place: int, boxes: Boxes, size: Sequence[int], rows: Sequence[Row]
    ) -> dict[Row, Tensor]:
        """(N, H, W) bool of some rows, whose boxes are the same."""
        device = self.model.sam.device
        shown = [track for track, box in enumerate(boxes) if box is not None]
        masks = {row: torch.zeros(len(boxes), *size, dtype=torch.bool, device=device) for row in rows}
        if shown:
            across, down = self.frame.scale(size)
            corners = torch.tensor([box for box in boxes if box is not None], dtype=torch.float32)
            corners /= torch.tensor([across, down, across, down])
            group = PromptGroup(torch.arange(len(shown), device=device), boxes=corners.to(device))
            index = torch.full((len(shown),), place, device=device)
            logits = encoded.logits([group], index, {variant for variant, _ in rows})
            for row in rows:
                masks[row][shown] = self._masks(logits[row], size)
        return masks

    def _masks(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """(n, 1, 4h, 4w) logits -> (n, H, W) bool."""
        if not self.disjoint or len(logits) == 1:
            return torch.cat([self.frame.restore(each, size) for each in logits])
        enlarged = torch.cat([self.frame.enlarge(each, size) for each in logits])
        best = enlarged.argmax(0)
        return (enlarged > 0) & (best == torch.arange(len(logits), device=best.device)[:, None, None])
