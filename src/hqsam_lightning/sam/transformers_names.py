"""Names of the tensors of `transformers`' SamModel and SamHQModel, and of the official checkpoints, both ways."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

ANCHOR = "vision_encoder.patch_embed.projection.weight"
SHARED = "prompt_encoder.shared_embedding.positional_embedding"
"""A second name of the positional encoding, which files may leave out."""
HYPERNETWORK = "mask_decoder.output_hypernetworks_mlps.#."


def _layers(official: str, theirs: str, names: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    """Pairs of the names of a sequence's layers."""
    return ((f"{official}{number}.", f"{theirs}{name}.") for number, name in names.items())


def _mlp(official: str, theirs: str) -> Iterator[tuple[str, str]]:
    return _layers(f"{official}layers.", theirs, {0: "proj_in", 1: "layers.0", 2: "proj_out"})


PREFIXES = (
    ("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", "shared_image_embedding.positional_embedding"),
    ("image_encoder.patch_embed.proj.", "vision_encoder.patch_embed.projection."),
    ("image_encoder.pos_embed", "vision_encoder.pos_embed"),
    ("image_encoder.blocks.#.norm", "vision_encoder.layers.#.layer_norm"),
    ("image_encoder.blocks.", "vision_encoder.layers."),
    *_layers(
        "image_encoder.neck.", "vision_encoder.neck.", {0: "conv1", 1: "layer_norm1", 2: "conv2", 3: "layer_norm2"}
    ),
    ("prompt_encoder.point_embeddings.", "prompt_encoder.point_embed."),
    *_layers(
        "prompt_encoder.mask_downscaling.",
        "prompt_encoder.mask_embed.",
        {0: "conv1", 1: "layer_norm1", 3: "conv2", 4: "layer_norm2", 6: "conv3"},
    ),
    ("prompt_encoder.", "prompt_encoder."),
    ("mask_decoder.transformer.norm_final_attn.", "mask_decoder.transformer.layer_norm_final_attn."),
    ("mask_decoder.transformer.layers.#.norm", "mask_decoder.transformer.layers.#.layer_norm"),
    *_layers(
        "mask_decoder.output_upscaling.",
        "mask_decoder.",
        {0: "upscale_conv1", 1: "upscale_layer_norm", 3: "upscale_conv2"},
    ),
    *_mlp(HYPERNETWORK, HYPERNETWORK),
    *_mlp("mask_decoder.iou_prediction_head.", "mask_decoder.iou_prediction_head."),
    *_mlp("mask_decoder.hf_mlp.", "mask_decoder.hq_mask_mlp."),
    ("mask_decoder.hf_token.", "mask_decoder.hq_token."),
    *_layers(
        "mask_decoder.compress_vit_feat.",
        "mask_decoder.",
        {0: "compress_vit_conv1", 1: "compress_vit_norm", 3: "compress_vit_conv2"},
    ),
    *_layers(
        "mask_decoder.embedding_encoder.",
        "mask_decoder.",
        {0: "encoder_conv1", 1: "encoder_norm", 3: "encoder_conv2"},
    ),
    *_layers(
        "mask_decoder.embedding_maskfeature.",
        "mask_decoder.",
        {0: "mask_conv1", 1: "mask_norm", 3: "mask_conv2"},
    ),
    ("mask_decoder.", "mask_decoder."),
)
"""Beginnings of names, official and theirs; # is a number, and the first that fits counts."""


def is_transformers(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the names of `transformers`' models."""
    return ANCHOR in state_dict


def to_transformers(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames the tensors of a whole official model on a ViT, SAM or HQ-SAM."""
    named = {_renamed(name, _PAIRS): value for name, value in state_dict.items()}
    return {**named, SHARED: named["shared_image_embedding.positional_embedding"]}


def from_transformers(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gives the tensors of a SamModel or SamHQModel their official names."""
    return {_renamed(name, _INVERSE): value for name, value in state_dict.items() if name != SHARED}


def _renamed(name: str, pairs: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    for pattern, template in pairs:
        found = pattern.match(name)
        if found:
            return found.expand(template) + name[found.end() :]
    return name


def _compiled(old: str, new: str) -> tuple[re.Pattern[str], str]:
    return re.compile(re.escape(old).replace(r"\#", r"(\d+)")), new.replace("#", r"\1")


_PAIRS = tuple(_compiled(official, theirs) for official, theirs in PREFIXES)
_INVERSE = tuple(_compiled(theirs, official) for official, theirs in PREFIXES)
