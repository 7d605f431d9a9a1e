"""Image encoders: segment-anything's ViT, or one of ours; final and early features out of one call of either."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from segment_anything.modeling import ImageEncoderViT
from torch import Tensor, nn

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.sam.early import EncoderWithEarly


def vit_encoder(
    image_size: int,
    patch_size: int,
    out_channels: int,
    embed_dim: int,
    depth: int,
    num_heads: int,
    window_size: int,
    global_attn_indexes: Sequence[int],
) -> ImageEncoderViT:
    """Builds segment-anything's ViT with what all of its published sizes have in common.

    Args:
        image_size: side of the square input frame in pixels, a multiple of patch_size.
        patch_size: side of a patch in pixels.
        out_channels: channels C of the image embeddings.
        embed_dim: width of the ViT, the early feature's channels.
        depth: number of blocks.
        num_heads: attention heads of each block.
        window_size: side of the attention windows in patches.
        global_attn_indexes: blocks, counted from 0, that attend to the whole image; at least one.

    Raises:
        ConfigError: when every block attends inside windows.
    """
    encoder = ImageEncoderViT(
        img_size=image_size,
        patch_size=patch_size,
        embed_dim=embed_dim,
        depth=depth,
        num_heads=num_heads,
        mlp_ratio=4,
        out_chans=out_channels,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=window_size,
        global_attn_indexes=global_attn_indexes,
    )
    first_global_block(encoder)
    return encoder


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


def early_channels(encoder: ImageEncoderViT | EncoderWithEarly) -> int:
    """Channels E of the early feature."""
    return encoder.early_dim if isinstance(encoder, EncoderWithEarly) else encoder.patch_embed.proj.out_channels


def encode(encoder: ImageEncoderViT | EncoderWithEarly, images: Tensor) -> tuple[Tensor, Tensor]:
    """Runs the encoder once and keeps the early feature on the way.

    Args:
        encoder: SAM's image encoder.
        images: (B, 3, H, W) normalised.

    Returns:
        Final feature (B, C, h, w) and early feature (B, E, h, w).
    """
    return encoder.with_early(images) if isinstance(encoder, EncoderWithEarly) else _encode_vit(encoder, images)


def _encode_vit(encoder: ImageEncoderViT, images: Tensor) -> tuple[Tensor, Tensor]:
    """The early feature of a ViT is the output of its first global-attention block (paper, section 3.2)."""
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
