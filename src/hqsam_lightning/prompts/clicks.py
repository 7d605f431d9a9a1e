"""Points inside an object and clicks on a prediction's error, as interactive protocols place them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from hqsam_lightning.types import OBJECT_THRESHOLD, PromptGroup


def deepest_point(mask: Tensor) -> Tensor:
    """(2,) float32 (x, y) of a (1, H, W) mask's object pixel farthest from the background, also outside the frame."""
    inside = (mask[0] > OBJECT_THRESHOLD).cpu().numpy().astype(np.uint8)
    depth = cv2.distanceTransform(np.pad(inside, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return torch.tensor([x, y], dtype=torch.float32)


def deepest_points(masks: Tensor) -> PromptGroup:
    """One positive point, its `deepest_point`, per mask of (N, 1, H, W) in [0, 1], on the masks' device."""
    coords = torch.stack([deepest_point(mask) for mask in masks]).to(masks.device)
    rows = torch.arange(len(masks), device=masks.device)
    return PromptGroup(rows, point_coords=coords[:, None], point_labels=torch.ones_like(rows)[:, None])


def draw_clicks(
    logits: Tensor, coverage: Tensor, draws: Tensor, image_size: int, ignore: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Draws one click per mask, uniformly from where prediction and target differ and nothing is ignored.

    Without an error the click is on the object, which then has at least the pixel that it covers most. An object with
    only ignored pixels is clicked on as if nothing were ignored.

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
    """Adds to the n of N masks of a group their clicks, (N, 2) and (N,), and their (N, 1, 4h, 4w) logits as masks."""
    new_coords, new_labels = coords[group.rows, None], labels[group.rows, None]
    if group.point_coords is not None and group.point_labels is not None:
        new_coords = torch.cat([group.point_coords, new_coords], dim=1)
        new_labels = torch.cat([group.point_labels, new_labels], dim=1)
    return replace(group, point_coords=new_coords, point_labels=new_labels, masks=logits[group.rows])
