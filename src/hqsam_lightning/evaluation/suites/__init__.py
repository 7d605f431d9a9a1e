"""What is evaluated on, one file per suite; conf/suite/ has their configs."""

from hqsam_lightning.evaluation.suites.base import Record, Setting, Suite
from hqsam_lightning.evaluation.suites.clicks import ClickSuite
from hqsam_lightning.evaluation.suites.coarse_masks import CoarseMaskSuite
from hqsam_lightning.evaluation.suites.davis import DavisSuite
from hqsam_lightning.evaluation.suites.instances import InstanceSuite
from hqsam_lightning.evaluation.suites.masks import MaskSuite
from hqsam_lightning.evaluation.suites.points import PointSuite
from hqsam_lightning.evaluation.suites.video_instances import VideoInstanceSuite

__all__ = [
    "ClickSuite",
    "CoarseMaskSuite",
    "DavisSuite",
    "InstanceSuite",
    "MaskSuite",
    "PointSuite",
    "Record",
    "Setting",
    "Suite",
    "VideoInstanceSuite",
]
