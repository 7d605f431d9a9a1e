"""Methods over the frozen encoder, one file each."""

from hqsam_lightning.heads.base import Head
from hqsam_lightning.heads.hq import HQHead
from hqsam_lightning.heads.sam import SamHead

__all__ = ["HQHead", "Head", "SamHead"]
