"""Final and early features out of one call of segment-anything's ViT."""

from __future__ import annotations

from segment_anything.modeling import ImageEncoderViT
from torch import Tensor

from hqsam_lightning.errors import ConfigError


def first_global_block(encoder: ImageEncoderViT) -> int:
    """Index, counted from 0, of the block whose output is HQ-SAM's early feature.

    Raises:
        ConfigError: when every block of the encoder attends inside windows.
    """
    for index, block in enumerate(encoder.blocks):
        if block.window_size == 0:
            return index
    raise ConfigError(
        "sam.encoder.global_attn_indexes: expected at least one block with global attention (its output is the "
        "early feature); got none"
    )


def encode_vit(encoder: ImageEncoderViT, images: Tensor) -> tuple[Tensor, Tensor]:
    """Runs the encoder once and keeps the early feature on the way (paper, section 3.2).

    Args:
        encoder: SAM's image encoder.
        images: (B, 3, H, W) normalised.

    Returns:
        Final feature (B, C, h, w), and early feature (B, E, h, w): the output of the first global-attention block.
    """
    early_index = first_global_block(encoder)
    tokens = encoder.patch_embed(images)
    if encoder.pos_embed is not None:
        tokens = tokens + encoder.pos_embed
    early = tokens
    for index, block in enumerate(encoder.blocks):
        tokens = block(tokens)
        if index == early_index:
            early = tokens
    return encoder.neck(tokens.permute(0, 3, 1, 2)), early.permute(0, 3, 1, 2)
