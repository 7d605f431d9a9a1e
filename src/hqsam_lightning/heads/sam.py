"""Plain SAM, the baseline of every table."""

from __future__ import annotations

from torch import Tensor

from hqsam_lightning.heads.base import Head
from hqsam_lightning.sam.decoding import plain_masks
from hqsam_lightning.sam.frozen import FrozenSam
from hqsam_lightning.types import MaskLogits, PromptEmbeddings, SamFeatures


class SamHead(Head):
    """SAM's own mask, without an HQ token; has no trainable parameters.

    Args:
        multimask_output: see `hqsam_lightning.sam.decoding.sam_masks`.
    """

    outputs = ("sam",)

    def __init__(self, multimask_output: bool = False) -> None:
        super().__init__()
        self.multimask_output: bool | str = multimask_output

    def decode(
        self, sam: FrozenSam, features: SamFeatures, image_feature: Tensor | None, prompts: PromptEmbeddings
    ) -> MaskLogits:
        """Runs SAM's decoder as it was released."""
        logits, iou = plain_masks(sam.mask_decoder, features, prompts, self.multimask_output)
        return MaskLogits(sam=logits, hq=None, iou=iou)
