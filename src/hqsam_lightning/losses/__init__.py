"""Training losses."""

from hqsam_lightning.losses.boundary import BoundaryMaskLoss
from hqsam_lightning.losses.point_sampled import PointSampledMaskLoss, sample_points

__all__ = ["BoundaryMaskLoss", "PointSampledMaskLoss", "sample_points"]
