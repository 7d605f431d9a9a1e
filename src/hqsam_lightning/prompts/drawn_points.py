"""Points of figure 5's protocol: the deepest point, or random ones on the object and around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hqsam_lightning.prompts.clicks import deepest_point
from hqsam_lightning.prompts.kinds import box_of, object_pixels
from hqsam_lightning.types import OBJECT_THRESHOLD, Prompt


@dataclass(frozen=True)
class DrawnPoints:
    """Draws the same number of points for every mask.

    One positive point alone is the object's deepest (paper, section 4.3: the maximum of its distance transform).
    Otherwise points are drawn uniformly without replacement, as many as there are where an object is smaller: positive
    ones from the object's pixels; negative ones, whose place the paper does not say, from the pixels around it in its
    box enlarged by half its size on every side.

    Attributes:
        positive: number of points on the object, at least 1.
        negative: number of points off it.
        draw_number: tells the draws of one mask apart.
    """

    positive: int
    negative: int = 0
    draw_number: int = 0

    def draw(self, mask: Tensor, mask_input_size: int, rng: np.random.Generator) -> Prompt:
        """Draws the points of a (1, H, W) mask in [0, 1]; see `hqsam_lightning.prompts.PromptMix.draw`."""
        if (self.positive, self.negative) == (1, 0):
            points = [deepest_point(mask)[None]]
        else:
            own = rng.spawn(self.draw_number + 1)[-1]
            points = [_choose(object_pixels(mask), self.positive, own), _choose(_around(mask), self.negative, own)]
        labels = [torch.full((len(part),), label) for part, label in zip(points, (1, 0), strict=False)]
        return Prompt(point_coords=torch.cat(points), point_labels=torch.cat(labels))


def _choose(pixels: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """(K, 2) float32, K = min(count, P) of (P, 2) pixels."""
    return pixels[torch.from_numpy(rng.permutation(len(pixels))[:count])].float()


def _around(mask: Tensor) -> Tensor:
    """(P, 2) pixels off the object in its enlarged box."""
    x0, y0, x1, y1 = box_of(mask).tolist()
    width, height = (x1 - x0 + 1) / 2, (y1 - y0 + 1) / 2
    left, top = max(0, int(x0 - width)), max(0, int(y0 - height))
    part = mask[0, top : int(y1 + height) + 1, left : int(x1 + width) + 1]
    return (part <= OBJECT_THRESHOLD).nonzero().flip(1) + torch.tensor([left, top])
