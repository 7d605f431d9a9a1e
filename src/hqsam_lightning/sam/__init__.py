"""The frozen Segment Anything model: building, weights, features, prompt encoding and batched decoding."""

from hqsam_lightning.sam.build import build_sam
from hqsam_lightning.sam.efficientnet import EfficientNetEncoder
from hqsam_lightning.sam.encoder import vit_encoder
from hqsam_lightning.sam.frozen import FrozenSam
from hqsam_lightning.sam.tiny_vit import TinyViTEncoder

__all__ = ["EfficientNetEncoder", "FrozenSam", "TinyViTEncoder", "build_sam", "vit_encoder"]
