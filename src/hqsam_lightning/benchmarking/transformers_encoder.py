"""`transformers`' SAM encoder (that of SamHQModel), as a peer to measure against."""

from __future__ import annotations

from contextlib import AbstractContextManager

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

        ours = sam.sam.image_encoder
        config = SamHQVisionConfig(
            hidden_size=sam.early_dim,
            output_channels=sam.embed_dim,
            num_hidden_layers=len(ours.blocks),
            num_attention_heads=ours.blocks[0].attn.num_heads,
            image_size=sam.image_size,
            window_size=max(block.window_size for block in ours.blocks),
            global_attn_indexes=[index for index, block in enumerate(ours.blocks) if block.window_size == 0],
            mlp_dim=4 * sam.early_dim,
        )
        config._attn_implementation = attention
        self.model: nn.Module = SamHQVisionModel(config).eval().to(sam.device)
        self.dtype = dtype

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Encodes (B, 3, H, W) float images."""
        with self._autocast(images):
            return self.model(pixel_values=images).last_hidden_state

    def _autocast(self, images: Tensor) -> AbstractContextManager[None]:
        return torch.autocast(images.device.type, self.dtype, enabled=self.dtype != torch.float32)
