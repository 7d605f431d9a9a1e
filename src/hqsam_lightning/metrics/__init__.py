"""Mask and boundary IoU: functions of one value a mask, and their means as torchmetrics classes."""

from hqsam_lightning.metrics.functional import boundary_iou, mask_boundary, mask_iou
from hqsam_lightning.metrics.segmentation import MeanBoundaryIoU, MeanMaskIoU

__all__ = ["MeanBoundaryIoU", "MeanMaskIoU", "boundary_iou", "mask_boundary", "mask_iou"]
