"""Training losses."""

from hqsam_lightning.losses.point_sampled import PointSampledMaskLoss, sample_points

__all__ = ["PointSampledMaskLoss", "sample_points"]
