"""BCE + Dice at sampled points of each mask (PointRend): HQ-SAM's training loss.

Shapes: N masks, h x w their logits, H x W their labels, P points per mask. Points are (x, y) in [0, 1] of the frame,
which logits and labels share although their sizes differ. Nothing here waits for the device.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqsam_lightning.checks import arguments, integer, number
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.losses.dice import dice_loss

MAX_WEIGHT = 1e6
"""Largest weight of a term of the loss: float32 sums of squared gradients stay finite."""


def draw_uniform(seeds: list[int], count: int, device: torch.device) -> Tensor:
    """Draws `count` uniform points per mask, each mask's from its own seed alone.

    Args:
        seeds: N seeds.
        count: number of points per mask.
        device: where to draw; CPU and CUDA draw different points from one seed.

    Returns:
        (N, count, 2) float32 in [0, 1).
    """
    points = torch.empty(len(seeds), count, 2, device=device)
    generator = torch.Generator(device=device)
    for row, seed in zip(points, seeds, strict=True):
        row.uniform_(generator=generator.manual_seed(seed))
    return points


def sample_values(maps: Tensor, points: Tensor) -> Tensor:
    """Reads maps at points, bilinearly between pixel centres; outside the frame a map is 0.

    Args:
        maps: (N, 1, h, w).
        points: (N, P, 2).

    Returns:
        (N, P).
    """
    if maps.is_cuda and maps.requires_grad:
        return _OrderlessSampling.apply(maps, points)
    return _sample(maps, points)


def _sample(maps: Tensor, points: Tensor) -> Tensor:
    grid = (2 * points - 1).unsqueeze(2)
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)[:, 0, :, 0]


class _OrderlessSampling(torch.autograd.Function):
    """`_sample` with a gradient that is the same in every run.

    A GPU's threads add to it in any order, which changes a sum of floats; here they add integers.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, points: Tensor) -> Tensor:
        ctx.save_for_backward(points)
        ctx.shape = maps.shape
        return _sample(maps, points)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (points,) = ctx.saved_tensors
        return spread_gradient(gradient, points, ctx.shape), None


def spread_gradient(gradient: Tensor, points: Tensor, shape: torch.Size) -> Tensor:
    """The maps' gradient under `sample_values`, added up in steps of 2**-40 of each map's largest.

    Args:
        gradient: (N, P) of the values, float32.
        points: (N, P, 2).
        shape: (N, 1, h, w) of the maps.

    Returns:
        (N, 1, h, w) float32.
    """
    size = torch.tensor([shape[-1], shape[-2]], device=points.device)
    place = points.double() * size - 0.5
    corner = place.floor()
    share = place - corner
    corners = torch.stack([corner, corner + 1])  # (2, N, P, 2): before and behind, of x and y
    shares = torch.stack([1 - share, share]) * ((corners >= 0) & (corners < size))
    columns, rows = corners.clamp(torch.zeros_like(size), size - 1).long().unbind(-1)
    index = rows[:, None] * shape[-1] + columns[None]  # (2, 2, N, P)
    unit = gradient.abs().amax(1, keepdim=True).double().clamp(min=torch.finfo(torch.float32).tiny) / 2**40
    steps = (gradient / unit * shares[:, None, ..., 1] * shares[None, ..., 0]).round().long()
    total = torch.zeros(shape[0], shape[-2] * shape[-1], dtype=torch.int64, device=gradient.device)
    total.scatter_add_(1, _by_map(index), _by_map(steps))
    return (total * unit).float().view(shape)


def _by_map(corners: Tensor) -> Tensor:
    """(2, 2, N, P) to (N, 4P)."""
    return corners.flatten(0, 1).transpose(0, 1).flatten(1)


@torch.no_grad()
def sample_points(
    logits: Tensor, candidates: Tensor, fresh: Tensor, num_important: int, ignore: Tensor | None = None
) -> Tensor:
    """Picks the candidates with the smallest |logit| and appends the fresh points.

    Ties keep the candidates' order, so that a mask's points never depend on the masks beside it. Candidates on ignored
    pixels come after all others.

    Args:
        logits: (N, 1, h, w).
        candidates: (N, Q, 2) uniform points, Q >= num_important.
        fresh: (N, R, 2) uniform points.
        num_important: how many candidates to keep.
        ignore: (N, 1, H, W) bool; None where nothing is ignored.

    Returns:
        (N, num_important + R, 2).
    """
    certainty = sample_values(logits, candidates).abs()
    if ignore is not None:
        certainty = certainty.masked_fill(touched_points(ignore, candidates), math.inf)
    order = certainty.argsort(dim=1, stable=True)
    chosen = order[:, :num_important, None].expand(-1, -1, 2)
    return torch.cat([candidates.gather(1, chosen), fresh], dim=1)


def touched_points(ignore: Tensor, points: Tensor) -> Tensor:
    """Finds the points whose bilinear label an ignored pixel contributes to.

    Args:
        ignore: (N, 1, H, W) bool.
        points: (N, P, 2).

    Returns:
        (N, P) bool.
    """
    return sample_values(ignore.float(), points) > 0


class PointSampledMaskLoss(nn.Module):
    """Weighted BCE + Dice of the logits at P points per mask, most of them where the logits are least certain.

    The points of a mask depend on its logits, its ignored pixels and its seed only: not on its batch, its rank or other
    variants. Points on ignored pixels are left out of both means: the others' weights grow accordingly.

    Args:
        num_points: P, points per mask.
        oversample_ratio: candidates drawn, as a multiple of P.
        importance_ratio: part of P taken from the candidates; the rest is fresh and uniform.
        bce_weight: weight of the BCE in the loss.
        dice_weight: weight of the Dice loss in the loss.

    Raises:
        ConfigError: a value is out of its range.
    """

    @arguments(
        "loss",
        num_points=integer(1),
        oversample_ratio=number(1, 1000),
        importance_ratio=number(0, 1),
        bce_weight=number(0, MAX_WEIGHT),
        dice_weight=number(0, MAX_WEIGHT),
    )
    def __init__(
        self,
        num_points: int = 112 * 112,
        oversample_ratio: float = 3.0,
        importance_ratio: float = 0.75,
        bce_weight: float = 1.0,
        dice_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if bce_weight == dice_weight == 0:
            raise ConfigError("loss.bce_weight, loss.dice_weight: expected at least one above 0, got 0 for both")
        self.num_candidates = int(oversample_ratio * num_points)
        self.num_important = int(importance_ratio * num_points)
        self.num_fresh = num_points - self.num_important
        self.bce_weight = bce_weight
        self.dice_weight = dice_weight

    def forward(
        self,
        logits: Tensor,
        masks: Tensor,
        seeds: list[int],
        weights: Tensor | None = None,
        ignore: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Computes the loss in float32, whatever the inputs' type.

        Args:
            logits: (N, 1, h, w).
            masks: (N, 1, H, W) soft labels in [0, 1].
            seeds: N seeds.
            weights: (N,) weights of the masks; None is 1/N each.
            ignore: (N, 1, H, W) bool, pixels that are not trained on; None where nothing is ignored.

        Returns:
            Scalars, weighted sums over the masks (0 for no masks): ``loss``, and its parts ``bce`` and ``dice``. A mask
            whose points are all ignored adds 0.
        """
        _check_inputs(logits, masks, seeds)
        logits = logits.float()
        with torch.no_grad():
            drawn = self.draw(logits, masks.float(), seeds, self.num_candidates + self.num_fresh, ignore)
            candidates, fresh = drawn.split([self.num_candidates, self.num_fresh], dim=1)
            points = sample_points(logits, candidates, fresh, self.num_important, ignore)
            labels = sample_values(masks.float(), points)
            kept = None if ignore is None else (~touched_points(ignore, points)).float()
        predicted = sample_values(logits, points)
        if weights is None:
            weights = predicted.new_full((len(seeds),), 1 / max(len(seeds), 1))
        bce = (_bce_loss(predicted, labels, kept) * weights).sum()
        dice = (dice_loss(predicted, labels, kept, dim=1) * weights).sum()
        return {"loss": self.bce_weight * bce + self.dice_weight * dice, "bce": bce, "dice": dice}

    def draw(self, logits: Tensor, masks: Tensor, seeds: list[int], count: int, ignore: Tensor | None = None) -> Tensor:
        """Draws (N, count, 2) points, among which some are chosen: uniform ones of the whole frame."""
        return draw_uniform(seeds, count, logits.device)


def _bce_loss(logits: Tensor, labels: Tensor, kept: Tensor | None) -> Tensor:
    """Mean BCE of (N, P) logits and labels over the points with a `kept` of 1, as (N,); 0 where there are none."""
    losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    if kept is None:
        return losses.mean(1)
    # a mask without ignored points multiplies by exactly 1: its loss is that of a batch that ignores nothing
    return (losses * kept).mean(1) * (kept.shape[1] / kept.sum(1).clamp(min=1))


def _check_inputs(logits: Tensor, masks: Tensor, seeds: list[int]) -> None:
    for name, maps in (("logits", logits), ("masks", masks)):
        if maps.ndim != 4 or maps.shape[1] != 1:
            raise ValueError(f"expected {name} of shape (N, 1, height, width), got {tuple(maps.shape)}")
    if not len(logits) == len(masks) == len(seeds):
        raise ValueError(
            f"expected as many masks and seeds as logits ({len(logits)}), got {len(masks)} masks, {len(seeds)} seeds"
        )
