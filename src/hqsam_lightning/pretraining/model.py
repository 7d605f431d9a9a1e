"""A SAM that learns: images to features, groups of prompts to all four masks and their predicted IoUs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from hqsam_lightning.sam.base import SamModel
from hqsam_lightning.sam.decoding import encode_group, in_row_order, run_transformer
from hqsam_lightning.types import PromptGroup, SamFeatures


@dataclass
class Decoded:
    """What SAM's decoder predicts for N masks.

    Attributes:
        logits: (N, 4, 4h, 4w) float32: the single-mask output, then the three multi-mask outputs.
        iou: (N, 4) float32, SAM's prediction of each output's IoU.
    """

    logits: Tensor
    iou: Tensor


class TrainableSam(SamModel):
    """segment-anything's model with gradients, over batches of several images.

    Args:
        sam: the model; all of its parameters learn.
        precision: ``"fp32"`` or ``"bf16"``: autocast of image encoder and mask decoder. Positions are encoded, and
            masks are drawn from the decoder's output, in float32.

    Raises:
        ConfigError: for an unknown precision.
    """

    precisions = ("fp32", "bf16")
    precision_key = "precision"

    def __init__(self, sam: Sam, precision: str = "fp32") -> None:
        # Lightning keeps the mode that a model comes in, and a frozen one comes in eval mode
        super().__init__(sam.requires_grad_(True).train(), precision)
        self.sam.image_encoder.to(memory_format=torch.channels_last)

    def encode(self, images: Tensor) -> Tensor:
        """Encodes (B, 3, H, W) uint8 RGB images to embeddings (B, C, h, w) float32."""
        pixels = self.normalise(images).contiguous(memory_format=torch.channels_last)
        with self.autocast(images.device):
            embeddings = self.sam.image_encoder(pixels)
        return embeddings.float()

    def decode(self, embeddings: Tensor, groups: list[PromptGroup], image_index: Tensor) -> Decoded:
        """Predicts the N masks of a batch, one decoder call per group of prompts.

        Args:
            embeddings: (B, C, h, w).
            groups: prompts whose rows together are 0 .. N-1.
            image_index: (N,) the image of each mask.

        Returns:
            Predictions in the order of the batch's masks.
        """
        # no early feature is asked for here
        features = SamFeatures(embeddings, embeddings, self.prompt_encoder.get_dense_pe())
        parts = [self._decode_group(features, group, image_index) for group in groups]
        logits, iou = (in_row_order(groups, values) for values in zip(*parts, strict=True))
        return Decoded(logits, iou)

    def _decode_group(self, features: SamFeatures, group: PromptGroup, image_index: Tensor) -> tuple[Tensor, Tensor]:
        prompts = encode_group(self.prompt_encoder, group, image_index)
        decoder = self.mask_decoder
        with self.autocast(prompts.sparse.device):
            state = run_transformer(decoder, features, prompts)
        mlps = decoder.output_hypernetworks_mlps
        weights = torch.stack([mlp(state.mask_tokens[:, i].float()) for i, mlp in enumerate(mlps)], dim=1)
        logits = torch.einsum("nkc,nchw->nkhw", weights, state.upscaled.float())
        return logits, decoder.iou_prediction_head(state.iou_token.float())
