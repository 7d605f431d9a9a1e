"""Large photos in tiles: masks at the photo's own resolution, joined where objects cross from tile to tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hqsam_lightning.checks import arguments, integer
from hqsam_lightning.data.framing import Pad
from hqsam_lightning.inference.model import HQSam
from hqsam_lightning.inference.objects import ObjectPrompt, Segment, mask_box
from hqsam_lightning.inference.prompts import require_image
from hqsam_lightning.inference.rows import decode_rows, encode_fitted, fit, restore
from hqsam_lightning.inference.windows import Window, centred, grid, ramp, require_overlap, with_margin
from hqsam_lightning.types import Prompt

BACKGROUND = -20.0
"""Logit where no tile was looked at."""


class TiledPredictor:
    """Finds the masks of prompts in images that are much larger than the model's input frame.

    An object whose surroundings fit in one tile is predicted in a tile centred on it. Any other is found in the whole
    image first, at the input frame's resolution; that mask and its box then prompt every tile that it reaches, and the
    tiles' logits are blended over their overlaps.

    Args:
        model: to predict with.
        tile: side of a tile in pixels of the image.
        overlap: pixels that neighbouring tiles share, and that are kept around an object in its tile.
        batch_size: tiles per call of the encoder.
        prompts_per_call: most prompts per call of the decoder.
        multimask_output: of three masks take the best, for prompts that are ambiguous.

    Raises:
        ConfigError: a number is out of its range, or the overlap is more than half of the tile.
    """

    @arguments("", tile=integer(16), overlap=integer(0), batch_size=integer(1), prompts_per_call=integer(1))
    def __init__(
        self,
        model: HQSam,
        tile: int = 1024,
        overlap: int = 128,
        batch_size: int = 4,
        prompts_per_call: int = 64,
        multimask_output: bool = False,
    ) -> None:
        require_overlap(tile, overlap)
        self.model = model
        self.tile, self.overlap = tile, overlap
        self.batch_size, self.prompts_per_call = batch_size, prompts_per_call
        self.multimask_output = multimask_output
        self._frame = Pad(model.image_size)

    def predict(self, image: np.ndarray, prompts: Sequence[ObjectPrompt]) -> list[Segment]:
        """Finds a mask for each prompt.

        Args:
            image: (H0, W0, 3) uint8 RGB.
            prompts: in pixels of the image.

        Raises:
            PromptError: the image or a prompt cannot be used.
        """
        size = require_image(image).shape[:2]
        for prompt in prompts:
            prompt.check(size)
        found: dict[int, Segment] = {}
        for window, members in self._windows(prompts, size).items():
            moved = [prompts[member].moved(window.left, window.top) for member in members]
            part = window.of(image)
            for member, (logits, score) in zip(members, self._decode([part], [moved]), strict=True):
                segment = Segment.from_logits(restore(self.model, logits, window.size), score, window.left, window.top)
                if not window.cuts(segment.mask, size):
                    found[member] = segment.trimmed()
        large = [number for number in range(len(prompts)) if number not in found]
        if large:
            coarse = self._decode([image], [[prompts[number] for number in large]])
            for number, (logits, _) in zip(large, coarse, strict=True):
                found[number] = self._refine(image, logits, prompts[number]).trimmed()
        return [found[number] for number in range(len(prompts))]

    def _windows(self, prompts: Sequence[ObjectPrompt], size: tuple[int, int]) -> dict[Window, list[int]]:
        """Windows of the objects that fit in one, with the objects' numbers; one window serves all that it holds."""
        windows: dict[Window, list[int]] = {}
        for number, prompt in enumerate(prompts):
            if prompt.mask is not None:
                continue
            box = with_margin(prompt.extent(), self.overlap, size)
            window = next((known for known in windows if known.holds(box)), None)
            if window is None:
                window = centred(box, self.tile, size)
            if window.holds(box):
                windows.setdefault(window, []).append(number)
        return windows

    def _decode(
        self, parts: Sequence[np.ndarray], prompts: Sequence[Sequence[ObjectPrompt]]
    ) -> Iterator[tuple[Tensor, float]]:
        """(4h, 4w) logits and score of each prompt of each part of the image."""
        side = self.model.sam.mask_input_size
        framed = [
            [prompt.in_frame(part.shape, self._frame, side) for prompt in of_part]
            for part, of_part in zip(parts, prompts, strict=True)
        ]
        return self._decode_framed(parts, framed)

    def _decode_framed(
        self, parts: Sequence[np.ndarray], prompts: Sequence[Sequence[Prompt]]
    ) -> Iterator[tuple[Tensor, float]]:
        features = encode_fitted(self.model, [fit(part, self._frame) for part in parts])
        rows = [prompt for of_part in prompts for prompt in of_part]
        images = [index for index, of_part in enumerate(prompts) for _ in of_part]
        return decode_rows(self.model, features, rows, images, self.prompts_per_call, self.multimask_output)

    def _refine(self, image: np.ndarray, coarse: Tensor, prompt: ObjectPrompt) -> Segment:
        """Predicts an object again in the tiles that its coarse (4h, 4w) logits reach, and blends them."""
        size = image.shape[:2]
        reached = []
        for window in grid(size, self.tile, self.overlap):
            logits = self._coarse_in(window, coarse, size)
            shown = _prompt_of(logits, Pad(self.model.sam.mask_input_size).inside(window.size), self.model.image_size)
            if shown is not None:
                reached.append((window, _with_points(shown, prompt, window, self._frame)))
        blend = _Blend([window for window, _ in reached] or [Window(0, 0, 1, 1)], self.overlap, size)
        for start in range(0, len(reached), self.batch_size):
            windows, prompts = zip(*reached[start : start + self.batch_size], strict=True)
            tiles = self._decode_framed([window.of(image) for window in windows], [[each] for each in prompts])
            for window, (logits, score) in zip(windows, tiles, strict=True):
                blend.add(window, restore(self.model, logits, window.size).cpu().numpy(), score)
        return blend.segment()

    def _coarse_in(self, window: Window, coarse: Tensor, size: Sequence[int]) -> Tensor:
        """(1, 4h, 4w) mask input of a window: the coarse logits of the whole image, interpolated; padding is off."""
        side = self.model.sam.mask_input_size
        whole, part = Pad(side).inside(size), Pad(side).inside(window.size)
        axes = []
        for axis, (first, last) in enumerate(((window.top, window.bottom), (window.left, window.right))):
            centres = (torch.arange(side) + 0.5) / part[axis]
            inside = (first + centres * (last - first)) / size[axis] * whole[axis]
            axes.append(2 * inside / side - 1)
        places = torch.stack(torch.meshgrid(axes[1], axes[0], indexing="xy"), dim=-1)[None].to(coarse.device)
        logits = F.grid_sample(coarse[None, None], places.float(), "bilinear", "border", align_corners=False)[0].cpu()
        logits[:, part[0] :] = logits[:, :, part[1] :] = BACKGROUND
        return logits


class _Blend:
    """Weighted mean of tiles' logits: a tile counts less towards its sides, over the width of the overlap."""

    def __init__(self, windows: Sequence[Window], overlap: int, size: Sequence[int]) -> None:
        lefts, tops, rights, bottoms = zip(*windows, strict=True)
        self.region = Window(min(lefts), min(tops), max(rights), max(bottoms))
        self.overlap, self.size = overlap, size
        self.sums, self.weights = np.zeros(self.region.size, np.float32), np.zeros(self.region.size, np.float32)
        self.scores: list[float] = []

    def add(self, window: Window, logits: np.ndarray, score: float) -> None:
        across = ramp(window.left, window.right, self.size[1], self.overlap)
        down = ramp(window.top, window.bottom, self.size[0], self.overlap)
        weight = np.outer(down, across)
        top, left = window.top - self.region.top, window.left - self.region.left
        part = np.s_[top : top + weight.shape[0], left : left + weight.shape[1]]
        self.sums[part] += weight * logits
        self.weights[part] += weight
        self.scores.append(score)

    def segment(self) -> Segment:
        logits = np.full(self.sums.shape, BACKGROUND, np.float32)
        np.divide(self.sums, self.weights, out=logits, where=self.weights > 0)
        score = float(np.mean(self.scores)) if self.scores else 0.0
        return Segment(logits > 0, self.region.left, self.region.top, score, logits)


def _prompt_of(logits: Tensor, inside: tuple[int, int], image_size: int) -> Prompt | None:
    """A coarse mask of a tile with its box in the input frame; None where no pixel is on it.

    Args:
        logits: (1, 4h, 4w).
        inside: rows and columns of them that are not padding.
        image_size: side of the input frame.
    """
    mask = logits[0].numpy()[: inside[0], : inside[1]] > 0
    if not mask.any():
        return None
    left, top, right, bottom = mask_box(mask)
    scale = image_size / logits.shape[-1]
    return Prompt(box=torch.tensor([left, top, right + 1, bottom + 1]) * scale, mask=logits)


def _with_points(shown: Prompt, prompt: ObjectPrompt, window: Window, frame: Pad) -> Prompt:
    """Adds the points of the prompt that lie in the window."""
    inside = [point for point in prompt.points if window.holds((point[0], point[1], point[0], point[1]))]
    if inside:
        points = ObjectPrompt(points=tuple(inside)).moved(window.left, window.top).in_frame(window.size, frame, 0)
        shown.point_coords, shown.point_labels = points.point_coords, points.point_labels
    return shown
