"""What is evaluated on, one file per suite; conf/suite/ has their configs."""

from hqsam_lightning.evaluation.suites.base import Record, Setting, Suite
from hqsam_lightning.evaluation.suites.masks import MaskSuite

__all__ = ["MaskSuite", "Record", "Setting", "Suite"]
