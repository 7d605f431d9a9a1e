"""Metrics of masks, one value per prediction, and their registry."""

from hqsam_lightning.metrics.contours import boundary_f
from hqsam_lightning.metrics.functional import boundary_iou, mask_boundary, mask_iou
from hqsam_lightning.metrics.registry import Metric, Quantity

__all__ = [
    "Metric",
    "Quantity",
    "boundary_f",
    "boundary_iou",
    "mask_boundary",
    "mask_iou",
]
