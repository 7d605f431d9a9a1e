"""The prompts of the paper, each drawn from one mask with an explicit generator.

A mask is (1, H, W) float32 in [0, 1]; its object pixels are those > 128/255. Follows the released training code
(`masks_to_boxes`, `masks_sample_points`, `masks_noise`), whose facts are in the paper's section 4.1.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hqsam_lightning.types import OBJECT_THRESHOLD

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
    """A coarse mask prompt: noise over the boundary region of the down-scaled mask.

    Args:
        mask: (1, H, W).
        size: side of the prompt encoder's mask input, a quarter of the input frame for SAM.
        rng: source of the Gaussian noise.

    Returns:
        (1, size, size) float32 of 0 and 255, as the released code feeds it.
    """
    small = F.interpolate(mask[None], (size, size), mode="bilinear", align_corners=False)
    coarse_side = max(1, size // BOUNDARY_SCALE)
    coarse = F.interpolate(small, (coarse_side, coarse_side), mode="bilinear", align_corners=False)
    coarse = F.interpolate(coarse, (size, size), mode="bilinear", align_corners=False)
    boundary = (small - coarse).abs() >= BOUNDARY_RESIDUE
    noise = torch.from_numpy(rng.standard_normal((1, 1, size, size), dtype=np.float32))
    return ((small + noise * boundary) > 0.5)[0].float() * 255
