"""SAM's own parts, trained on (table 4 of the paper): its output token, its mask decoder, or nearly all of it.

The mask is SAM's single one. At the first step each equals plain SAM. What no such mask depends on stays frozen: the
decoder's three other masks, its prediction of the IoU, and the prompt encoder, whose parts a batch uses or not by its
prompts.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from segment_anything.modeling import MaskDecoder
from torch import Tensor, nn

from hqsam_lightning.heads.base import Head
from hqsam_lightning.sam.decoding import plain_masks, run_transformer, sam_masks, token_logits
from hqsam_lightning.sam.frozen import FrozenSam
from hqsam_lightning.types import MaskLogits, PromptEmbeddings, SamFeatures

AnyModule = TypeVar("AnyModule", bound=nn.Module)


class TunedTokenHead(Head):
    """Trains SAM's output token of the single mask and the MLP behind it.

    Args:
        sam: whose token and MLP are copied.
        seed: has no effect: training begins at SAM's weights.
    """

    outputs = ("hq",)
    replaces = True

    def __init__(self, sam: FrozenSam, seed: int = 0) -> None:
        super().__init__()
        self.token = nn.Parameter(sam.mask_decoder.mask_tokens.weight[:1].detach().clone())
        self.mlp = _trainable_copy(sam.mask_decoder.output_hypernetworks_mlps[0])

    def decode(
        self, sam: FrozenSam, features: SamFeatures, image_feature: Tensor | None, prompts: PromptEmbeddings
    ) -> MaskLogits:
        """Runs SAM's decoder with the trained token in the place of its own."""
        tokens = torch.cat([self.token, sam.mask_decoder.mask_tokens.weight[1:]])
        state = run_transformer(sam.mask_decoder, features, prompts, mask_tokens=tokens)
        logits = token_logits(self.mlp(state.mask_tokens[:, 0]), state.upscaled)
        return MaskLogits(sam=logits, hq=logits, iou=sam_masks(sam.mask_decoder, state, False)[1])


class TunedDecoderHead(Head):
    """Trains SAM's mask decoder.

    Args:
        sam: whose decoder is copied.
        seed: has no effect: training begins at SAM's weights.
    """

    outputs = ("hq",)
    replaces = True

    def __init__(self, sam: FrozenSam, seed: int = 0) -> None:
        super().__init__()
        self.decoder: MaskDecoder = _trainable_copy(sam.mask_decoder)
        self.decoder.iou_prediction_head.requires_grad_(False)
        self.decoder.output_hypernetworks_mlps[1:].requires_grad_(False)

    def decode(
        self, sam: FrozenSam, features: SamFeatures, image_feature: Tensor | None, prompts: PromptEmbeddings
    ) -> MaskLogits:
        """Runs the trained decoder."""
        logits, iou = plain_masks(self.decoder, features, prompts)
        return MaskLogits(sam=logits, hq=logits, iou=iou)


class TunedSamHead(TunedDecoderHead):
    """Trains SAM's image encoder and its mask decoder.

    Args:
        sam: whose encoder and decoder are copied.
        seed: has no effect: training begins at SAM's weights.
    """

    needs_pixels = True

    def __init__(self, sam: FrozenSam, seed: int = 0) -> None:
        super().__init__(sam)
        self.encoder = _trainable_copy(sam.sam.image_encoder)

    @property
    def own_encoder(self) -> nn.Module:
        """The encoder that is trained."""
        return self.encoder

    def train(self, mode: bool = True) -> TunedSamHead:
        """Stays in eval mode: normalisation keeps SAM's statistics of the batch, whatever batches are trained on."""
        return super().train(False)


def _trainable_copy(module: AnyModule) -> AnyModule:
    return copy.deepcopy(module).requires_grad_(True)
