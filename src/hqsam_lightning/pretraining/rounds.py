"""The correction rounds of SAM's paper (appendix A, training algorithm): a click on the error, the last mask as prompt.

Masks are compared at the size of the logits, where the target is each pixel's share of object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from hqsam_lightning.pretraining.model import Decoded
from hqsam_lightning.seeding import derive_rng
from hqsam_lightning.types import PromptGroup


def coverage_of(masks: Tensor, side: int) -> Tensor:
    """Averages (N, 1, H, W) masks over the pixels of their logits: (N, 1, side, side) in [0, 1]."""
    return F.interpolate(masks, (side, side), mode="area")


def ignored_cells(ignore: Tensor | None, side: int) -> Tensor | None:
    """Pixels of the logits that average any ignored pixel: (N, 1, H, W) bool to (N, 1, side, side) bool."""
    return None if ignore is None else F.adaptive_max_pool2d(ignore.float(), side) > 0


def correction_rounds(
    decode: Callable[[list[PromptGroup]], Decoded],
    groups: list[PromptGroup],
    coverage: Tensor,
    seeds: list[int],
    rounds: int,
    image_size: int,
    ignore: Tensor | None = None,
) -> Iterator[Decoded]:
    """Yields the predictions of each round, the first from `groups`, the others after one more click a mask.

    Args:
        decode: predicts N masks from groups of prompts.
        groups: the first round's prompts of N masks.
        coverage: (N, 1, 4h, 4w) share of object.
        seeds: N seeds; a mask's clicks depend on its own seed, the round and its predictions alone.
        rounds: how many, at least 1.
        image_size: side of the input frame in pixels.
        ignore: (N, 1, 4h, 4w) bool, where no click is drawn; None where nothing is ignored.
    """
    for number in range(rounds):
        decoded = decode(groups)
        yield decoded
        if number + 1 < rounds:
            # detached: a round does not learn through the prompts of the next
            logits = decoded.logits[:, :1].detach()
            draws = [derive_rng(seed, "click", number).random() for seed in seeds]
            uniform = torch.tensor(draws, device=logits.device)
            coords, labels = draw_clicks(logits, coverage, uniform, image_size, ignore)
            groups = [add_clicks(group, coords, labels, logits) for group in groups]


def draw_clicks(
    logits: Tensor, coverage: Tensor, draws: Tensor, image_size: int, ignore: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Draws a click a mask, uniformly from where prediction and target differ and nothing is ignored.

    Without an error the click is on the object, which then has at least the pixel that it covers most. An object with
    no pixel beside the ignored ones is clicked on as if nothing were ignored.

    Args:
        logits: (N, 1, 4h, 4w) predictions; > 0 is object.
        coverage: (N, 1, 4h, 4w) share of object; > 0.5 is object.
        draws: (N,) float64 uniform in [0, 1).
        image_size: side of the input frame in pixels.
        ignore: (N, 1, 4h, 4w) bool; None where nothing is ignored.

    Returns:
        Coordinates (N, 2) float32 (x, y) in the input frame, and labels (N,) int64: 1 where the object was missed or
        there was no error, 0 where it was wrongly covered.
    """
    share = coverage.flatten(1)
    if ignore is not None:
        known = share.masked_fill(ignore.flatten(1), -1)
        share = torch.where(known.amax(1, keepdim=True) > 0, known, share)
    is_object = (share > 0.5) | (share == share.amax(1, keepdim=True))
    error = ((logits.flatten(1) > 0) != is_object) & (share >= 0)
    region = torch.where(error.any(1, keepdim=True), error, is_object)
    rank = (draws * region.sum(1)).long()
    index = (region.cumsum(1) <= rank[:, None]).sum(1)
    side = coverage.shape[-1]
    cell = torch.stack([index % side, index // side], dim=1)
    # the centre of the logit's pixel; SAM's prompt encoder adds the half pixel itself
    coords = (cell + 0.5) * (image_size / side) - 0.5
    return coords.float(), is_object.gather(1, index[:, None])[:, 0].long()


def add_clicks(group: PromptGroup, coords: Tensor, labels: Tensor, logits: Tensor) -> PromptGroup:
    """Gives a group its masks' new click and, as mask prompt, the last logits.

    Args:
        group: n of the N masks; its box and clicks so far are kept.
        coords: (N, 2).
        labels: (N,).
        logits: (N, 1, 4h, 4w).
    """
    new_coords, new_labels = coords[group.rows, None], labels[group.rows, None]
    if group.point_coords is not None and group.point_labels is not None:
        new_coords = torch.cat([group.point_coords, new_coords], dim=1)
        new_labels = torch.cat([group.point_labels, new_labels], dim=1)
    return replace(group, point_coords=new_coords, point_labels=new_labels, masks=logits[group.rows])
