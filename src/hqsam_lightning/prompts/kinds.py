"""The kinds of prompts, each drawn from one mask with an explicit generator, and `KINDS`, their registry.

A mask is (1, H, W) float32 in [0, 1]; its object pixels are those > 128/255. Follows the released training code
(`masks_to_boxes`, `masks_sample_points`, `masks_noise`), whose facts are in the paper's section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hqsam_lightning.prompts.clicks import deepest_point
from hqsam_lightning.types import OBJECT_THRESHOLD, Prompt

BOUNDARY_SCALE = 8
BOUNDARY_RESIDUE = 0.01


def object_pixels(mask: Tensor) -> Tensor:
    """(P, 2) int64 (x, y) coordinates of the object's pixels."""
    return (mask[0] > OBJECT_THRESHOLD).nonzero().flip(1)


def box_of(mask: Tensor) -> Tensor:
    """Tight xyxy box (4,) of the object, both corners inclusive.

    Raises:
        ValueError: when the mask has no object pixel.
    """
    pixels = object_pixels(mask)
    if len(pixels) == 0:
        raise ValueError("expected a mask with an object pixel (> 128/255), got an empty one")
    return torch.cat([pixels.amin(0), pixels.amax(0)]).float()


def jitter_box(box: Tensor, scale: float, frame: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """DN-DETR style noise: centre += U(-1,1) * scale * size/2, size += U(-1,1) * scale * size (table 13).

    Args:
        box: (4,) xyxy.
        scale: 0 leaves the box as it is.
        frame: (H, W) that the box is clamped to.
        rng: four independent draws are taken from it.
    """
    size = box[2:] - box[:2]
    draws = torch.from_numpy(rng.uniform(-1, 1, 4)).float()
    centre = (box[:2] + box[2:]) / 2 + draws[:2] * scale * size / 2
    size = size + draws[2:] * scale * size
    corners = torch.cat([centre - size / 2, centre + size / 2])
    height, width = frame
    limit = torch.tensor([width, height, width, height], dtype=torch.float32)
    return torch.minimum(corners.clamp(min=0), limit)


def sample_points(mask: Tensor, num_points: int, rng: np.random.Generator) -> Tensor | None:
    """(num_points, 2) object pixels, uniform without replacement; None when the object has fewer."""
    pixels = object_pixels(mask)
    if len(pixels) < num_points:
        return None
    return pixels[torch.from_numpy(rng.choice(len(pixels), num_points, replace=False))].float()


def noise_mask(mask: Tensor, size: int, rng: np.random.Generator) -> Tensor:
    """A coarse mask prompt: Gaussian noise over the boundary region of the down-scaled mask.

    Returns:
        (1, size, size) float32 of 0 and 255, as the released code feeds it; size is the side of the prompt encoder's
        mask input, a quarter of the input frame for SAM.
    """
    small = F.interpolate(mask[None], (size, size), mode="bilinear", align_corners=False)
    coarse_side = max(1, size // BOUNDARY_SCALE)
    coarse = F.interpolate(small, (coarse_side, coarse_side), mode="bilinear", align_corners=False)
    coarse = F.interpolate(coarse, (size, size), mode="bilinear", align_corners=False)
    boundary = (small - coarse).abs() >= BOUNDARY_RESIDUE
    noise = torch.from_numpy(rng.standard_normal((1, 1, size, size), dtype=np.float32))
    return ((small + noise * boundary) > 0.5)[0].float() * 255


@dataclass(frozen=True)
class Settings:
    """What kinds of prompts can be tuned by.

    Attributes:
        num_points: points of a points prompt.
        box_noise: scale of the DN-DETR style noise on boxes.
        mask_input_size: side of the prompt encoder's mask input.
    """

    num_points: int
    box_noise: float
    mask_input_size: int


def box_prompt(mask: Tensor, settings: Settings, rng: np.random.Generator) -> Prompt:
    """The object's tight box, with noise where there is any."""
    box = box_of(mask)
    if settings.box_noise:
        height, width = mask.shape[-2:]
        box = jitter_box(box, settings.box_noise, (height, width), rng)
    return Prompt(box=box)


def points_prompt(mask: Tensor, settings: Settings, rng: np.random.Generator) -> Prompt | None:
    """Random points of the object; None when it has fewer pixels."""
    points = sample_points(mask, settings.num_points, rng)
    return None if points is None else _positive(points)


def _positive(points: Tensor) -> Prompt:
    return Prompt(point_coords=points, point_labels=torch.ones(len(points), dtype=torch.int64))


KINDS: Mapping[str, Callable[[Tensor, Settings, np.random.Generator], Prompt | None]] = {
    "box": box_prompt,
    "points": points_prompt,
    "noise_mask": lambda mask, settings, rng: Prompt(mask=noise_mask(mask, settings.mask_input_size, rng)),
    "deepest_point": lambda mask, settings, rng: _positive(deepest_point(mask)[None]),
}
"""Kinds by their name in ``prompts.mix``; one gives None for a mask that it cannot prompt. New ones go to the end: the
draws of the others then stay the same."""
