"""Segments the frames of a clip, whose tracks are prompted by their boxes: each frame is encoded once for all methods.

Where the boxes are shown cuts, it is the cut around each box that is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from hqsam_lightning.cuts import Cut, CutPhotos
from hqsam_lightning.data.clips import Clip
from hqsam_lightning.data.framing import Frame
from hqsam_lightning.evaluation.clip_boxes import Boxes, ClipBoxes
from hqsam_lightning.evaluation.model import Encoded, Model
from hqsam_lightning.evaluation.table import Row
from hqsam_lightning.types import PromptGroup

Encoding = Callable[[Sequence[Cut]], tuple[Encoded, int]]
"""What boxes are shown of a frame -> what they are decoded of, and the frame's place there."""


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
        frames_at_once: frames, or cuts, per forward pass of the encoder.
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
            encode = self._encoder([image for image, _ in read])
            for place, (number, (_, targets)) in enumerate(zip(numbers, read, strict=True)):
                masks = self._segment(partial(encode, place), number, targets, boxes)
                yield SegmentedFrame(torch.from_numpy(targets).to(device), masks)

    def _encoder(self, images: Sequence[np.ndarray]) -> Callable[[int, Sequence[Cut]], tuple[Encoded, int]]:
        """Gives what boxes of one of the images are decoded of, and its place there; whole images are encoded at once.

        Args:
            images: each (H0, W0, 3) uint8.
        """
        if self.frame.margin is not None:
            fit, most = self.frame.fit, self.frames_at_once
            return lambda place, cuts: (
                self.model.encode(CutPhotos([images[place]], cuts, [0] * len(cuts), fit, most)),
                0,
            )
        frames = torch.stack([self.frame.fit(image) for image in images])
        encoded = self.model.encode(frames.to(self.model.sam.device))
        return lambda place, cuts: (encoded, place)

    def _segment(self, encode: Encoding, number: int, targets: np.ndarray, boxes: ClipBoxes) -> dict[Row, Tensor]:
        size, rows = targets.shape[1:], self.model.rows
        if not boxes.follows:
            return self._decode(encode, boxes.at(number, targets, rows[0]), size, rows)
        masks: dict[Row, Tensor] = {}
        for row in rows:
            masks |= self._decode(encode, boxes.at(number, targets, row), size, [row])
            boxes.follow(row, masks[row].cpu().numpy())
        return masks

    def _decode(self, encode: Encoding, boxes: Boxes, size: Sequence[int], rows: Sequence[Row]) -> dict[Row, Tensor]:
        """(N, H, W) bool of some rows, whose boxes are the same."""
        device = self.model.sam.device
        shown = [track for track, box in enumerate(boxes) if box is not None]
        masks = {row: torch.zeros(len(boxes), *size, dtype=torch.bool, device=device) for row in rows}
        if shown:
            corners = torch.tensor([box for box in boxes if box is not None], dtype=torch.float32)
            cuts, in_frame = self.frame.show(corners, size)
            encoded, place = encode(cuts)
            group = PromptGroup(torch.arange(len(shown), device=device), boxes=in_frame.to(device))
            index = torch.full((len(shown),), place, device=device)
            logits = encoded.logits([group], index, {variant for variant, _ in rows})
            for row in rows:
                masks[row][shown] = self._masks(logits[row], size, cuts)
        return masks

    def _masks(self, logits: Tensor, size: Sequence[int], cuts: Sequence[Cut]) -> Tensor:
        """(n, 1, 4h, 4w) logits -> (n, H, W) bool."""
        each_cut = [None] * len(logits) if self.frame.margin is None else cuts
        shown = list(zip(logits, each_cut, strict=True))
        if not self.disjoint or len(logits) == 1:
            return torch.cat([self.frame.restore(each, size, cut) for each, cut in shown])
        enlarged = torch.cat([self.frame.enlarge(each, size, cut) for each, cut in shown])
        best = enlarged.argmax(0)
        return (enlarged > 0) & (best == torch.arange(len(logits), device=best.device)[:, None, None])
