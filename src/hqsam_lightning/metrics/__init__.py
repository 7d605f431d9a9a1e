"""Metrics of masks, one value per prediction, and their registry; thinness of a mask."""

from hqsam_lightning.metrics.contours import boundary_f
from hqsam_lightning.metrics.functional import boundary_iou, mask_boundary, mask_iou
from hqsam_lightning.metrics.registry import Metric
from hqsam_lightning.metrics.segmentation import MeanBoundaryIoU, MeanMaskIoU
from hqsam_lightning.metrics.thinness import is_thin, thinness

__all__ = [
    "MeanBoundaryIoU",
    "MeanMaskIoU",
    "Metric",
    "boundary_f",
    "boundary_iou",
    "is_thin",
    "mask_boundary",
    "mask_iou",
    "thinness",
]
