"""`transformers`' SamHQModel and its encoder, as peers to measure against."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from hqsam_lightning.sam import FrozenSam


class TransformersEncoder:
    """Encodes images with random weights of a SAM's sizes.

    Args:
        sam: of segment-anything's ViT.
        attention: ``"eager"`` or ``"sdpa"``.
        dtype: float32, or a lower precision that the encoder is autocast to.
    """

    def __init__(self, sam: FrozenSam, attention: str, dtype: torch.dtype = torch.float32) -> None:
        from transformers import SamHQVisionConfig
        from transformers.models.sam_hq.modeling_sam_hq import SamHQVisionModel

        config = SamHQVisionConfig(**_vision_sizes(sam))
        config._attn_implementation = attention
        with sam.device:
            self.model: nn.Module = SamHQVisionModel(config).eval()
        self.dtype = dtype

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Encodes (B, 3, H, W) float images."""
        with self._autocast(images):
            return self.model(pixel_values=images).last_hidden_state

    def _autocast(self, images: Tensor) -> AbstractContextManager[None]:
        return torch.autocast(images.device.type, self.dtype, enabled=self.dtype != torch.float32)


class TransformersSamHQ:
    """Segments what boxes show, with random weights of a SAM's sizes.

    Args:
        sam: of segment-anything's ViT.
        attention: ``"eager"`` or ``"sdpa"``.
    """

    def __init__(self, sam: FrozenSam, attention: str) -> None:
        from transformers import SamHQConfig, SamHQModel

        config = SamHQConfig(
            vision_config=_vision_sizes(sam),
            prompt_encoder_config={
                "hidden_size": sam.embed_dim,
                "image_size": sam.image_size,
                "patch_size": 4 * sam.image_size // sam.mask_input_size,
            },
            mask_decoder_config={
                "hidden_size": sam.embed_dim,
                "iou_head_hidden_dim": sam.embed_dim,
                "mlp_dim": sam.mask_decoder.transformer.layers[0].mlp.lin1.out_features,
                "vit_dim": sam.early_dim,
            },
        )
        config._attn_implementation = attention
        self.model: nn.Module = SamHQModel(config).eval().to(sam.device)

    @torch.no_grad()
    def __call__(self, images: Tensor, boxes: Tensor) -> Tensor:
        """Mask logits of (B, 3, H, W) float images and one xyxy box of the input frame each, (B, 4)."""
        return self.model(pixel_values=images, input_boxes=boxes[:, None], multimask_output=False).pred_masks


def _vision_sizes(sam: FrozenSam) -> dict[str, Any]:
    ours = sam.sam.image_encoder
    return {
        "hidden_size": sam.early_dim,
        "output_channels": sam.embed_dim,
        "num_pos_feats": sam.embed_dim // 2,
        "num_hidden_layers": len(ours.blocks),
        "num_attention_heads": ours.blocks[0].attn.num_heads,
        "image_size": sam.image_size,
        "window_size": max(block.window_size for block in ours.blocks),
        "global_attn_indexes": [index for index, block in enumerate(ours.blocks) if block.window_size == 0],
        "mlp_dim": 4 * sam.early_dim,
    }
