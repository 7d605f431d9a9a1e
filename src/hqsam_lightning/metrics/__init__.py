"""Metrics of masks, one value per prediction, and their registry."""

from hqsam_lightning.metrics.contours import boundary_f
from hqsam_lightning.metrics.correction_effort import human_correction_effort
from hqsam_lightning.metrics.functional import boundary_iou, mask_boundary, mask_iou
from hqsam_lightning.metrics.registry import Metric, Quantity
from hqsam_lightning.metrics.saliency import e_measure, f_measure, mean_absolute_error, s_measure
from hqsam_lightning.metrics.weighted_f import weighted_f

__all__ = [
    "Metric",
    "Quantity",
    "boundary_f",
    "boundary_iou",
    "e_measure",
    "f_measure",
    "human_correction_effort",
    "mask_boundary",
    "mask_iou",
    "mean_absolute_error",
    "s_measure",
    "weighted_f",
]
