"""Mask and boundary IoU: functions of one value a mask, and their means as torchmetrics classes; thinness of a mask."""

from hqsam_lightning.metrics.functional import boundary_iou, mask_boundary, mask_iou
from hqsam_lightning.metrics.segmentation import MeanBoundaryIoU, MeanMaskIoU
from hqsam_lightning.metrics.thinness import is_thin, thinness

__all__ = ["MeanBoundaryIoU", "MeanMaskIoU", "boundary_iou", "is_thin", "mask_boundary", "mask_iou", "thinness"]
