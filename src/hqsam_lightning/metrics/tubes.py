"""Overlap of tubes: the masks of one object over all frames of a clip, as YouTube-VIS and HQ-YTVIS define it.

Shapes: N predicted and M true tubes, frames of H x W pixels. A tube has no pixel in a frame that its object is not in.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from hqsam_lightning.float64 import where_float64
from hqsam_lightning.metrics import bits
from hqsam_lightning.metrics.functional import mask_boundary


@dataclass(frozen=True)
class TubeOverlap:
    """Pixels that each predicted and each true tube share and cover, summed over frames; sums of frames add up.

    Attributes:
        common: (N, M) int64, pixels of both masks.
        union: (N, M) int64, pixels of either mask.
        boundary_common: (N, M) int64, pixels of both boundaries.
        boundary_union: (N, M) int64, pixels of either boundary.
    """

    common: Tensor
    union: Tensor
    boundary_common: Tensor
    boundary_union: Tensor

    def __add__(self, other: TubeOverlap) -> TubeOverlap:
        """Of the frames of both."""
        return TubeOverlap(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def mask_iou(self) -> Tensor:
        """(N, M) float64 IoU of the tubes, the ratio of the sums over frames; 0 where both tubes are empty."""
        return _ratio(self.common, self.union)

    def boundary_iou(self) -> Tensor:
        """(N, M) float64 minimum of the tubes' IoU and that of their boundaries, by which HQ-YTVIS matches tubes."""
        return torch.minimum(self.mask_iou(), _ratio(self.boundary_common, self.boundary_union))


def frame_overlap(pred: Tensor, target: Tensor, dilation_ratio: float = 0.02) -> TubeOverlap:
    """Counts the pixels of one frame.

    Args:
        pred: (N, H, W) bool.
        target: (M, H, W) bool.
        dilation_ratio: width of the boundary, see `mask_boundary`.

    Example:
        >>> frames = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
        >>> frames[:, :, :2] = True
        >>> appearing = frame_overlap(frames[0], frames[1] & False) + frame_overlap(frames[0], frames[1])
        >>> appearing.mask_iou()
        tensor([[0.5000]], dtype=torch.float64)
    """
    masks = _pairs(pred, target)
    boundaries = _pairs(mask_boundary(pred, dilation_ratio), mask_boundary(target, dilation_ratio))
    return TubeOverlap(*masks, *boundaries)


def _pairs(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """(N, M) pixels in common and in the union of each pair."""
    packed, areas = bits.pack(pred), pred.flatten(1).sum(1)
    others, other_areas = bits.pack(target), target.flatten(1).sum(1)
    common = areas.new_zeros(len(pred), len(target))
    # one true mask at a time: the words of all pairs at once would be large
    for place, other in enumerate(others):
        common[:, place] = bits.count(packed & other)
    return common, areas[:, None] + other_areas - common


def _ratio(common: Tensor, union: Tensor) -> Tensor:
    common, union = where_float64(common), where_float64(union)
    return common.double() / union.clamp(min=1)
