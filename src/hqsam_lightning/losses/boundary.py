"""The point-sampled loss inside the boundary region only (table 2 of the paper)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hqsam_lightning.checks import arguments, number
from hqsam_lightning.losses.point_sampled import PointSampledMaskLoss, draw_uniform
from hqsam_lightning.types import OBJECT_THRESHOLD


class BoundaryMaskLoss(PointSampledMaskLoss):
    """BCE + Dice on points that all lie near the true boundary.

    The paper constrains the loss to boundary regions and does not say how wide they are. Here a region reaches as far
    to both sides as the band of the boundary IoU to one, in cells of the logits' grid.

    Args:
        dilation_ratio: half width of the region as a share of the frame's diagonal.
        num_points: see `PointSampledMaskLoss`, also for the arguments below.

    Raises:
        ConfigError: a value is out of its range.
    """

    @arguments("loss", dilation_ratio=number(0, 1, above=True))
    def __init__(
        self,
        dilation_ratio: float = 0.02,
        num_points: int = 112 * 112,
        oversample_ratio: float = 3.0,
        importance_ratio: float = 0.75,
        bce_weight: float = 1.0,
        dice_weight: float = 1.0,
    ) -> None:
        super().__init__(num_points, oversample_ratio, importance_ratio, bce_weight, dice_weight)
        self.dilation_ratio = dilation_ratio

    def draw(self, logits: Tensor, masks: Tensor, seeds: list[int], count: int, ignore: Tensor | None = None) -> Tensor:
        """Draws (N, count, 2) points, uniform over each mask's boundary region."""
        height, width = logits.shape[-2:]
        radius = max(1, round(self.dilation_ratio * math.hypot(height, width)))
        picks, offsets = draw_uniform(seeds, 2 * count, logits.device).split(count, dim=1)
        cells = _pick(boundary_region(masks, (height, width), radius, ignore).flatten(1), picks[..., 0])
        corners = torch.stack([cells % width, cells // width], dim=-1)
        return (corners + offsets) / torch.tensor([width, height], device=logits.device)


def boundary_region(masks: Tensor, size: tuple[int, int], radius: int, ignore: Tensor | None = None) -> Tensor:
    """Finds the cells of a grid that have both object and background within a radius, in chessboard distance.

    Ignored pixels are neither object nor background, and a cell of ignored pixels alone is in no region.

    Args:
        masks: (N, 1, H, W) float in [0, 1].
        size: (h, w) of the grid.
        radius: in cells.
        ignore: (N, 1, H, W) bool; None where nothing is ignored.

    Returns:
        (N, h, w) bool.
    """
    objects = (masks > OBJECT_THRESHOLD).float()
    backgrounds = 1 - objects
    if ignore is not None:
        known = (~ignore).float()
        objects, backgrounds = objects * known, backgrounds * known
    window = 2 * radius + 1
    object_near = F.max_pool2d(F.adaptive_max_pool2d(objects, size), window, stride=1, padding=radius)
    background_near = F.max_pool2d(F.adaptive_max_pool2d(backgrounds, size), window, stride=1, padding=radius)
    region = object_near * background_near
    if ignore is not None:
        region = region * F.adaptive_max_pool2d(known, size)
    return region[:, 0] > 0


def _pick(region: Tensor, picks: Tensor) -> Tensor:
    """Cells (N, K) of regions (N, h * w), by uniform numbers (N, K) in [0, 1); of all cells where a region is empty."""
    region = region | ~region.any(dim=1, keepdim=True)
    ends = region.cumsum(dim=1).float()
    cells = torch.searchsorted(ends, picks * ends[:, -1:], right=True)
    return cells.clamp(max=region.shape[1] - 1)
