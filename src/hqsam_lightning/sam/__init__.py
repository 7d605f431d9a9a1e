"""The frozen Segment Anything model: building, weights, features, prompt encoding and batched decoding."""

from hqsam_lightning.sam.build import build_sam
from hqsam_lightning.sam.frozen import FrozenSam

__all__ = ["FrozenSam", "build_sam"]
