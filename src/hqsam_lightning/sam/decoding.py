"""SAM's prompt encoder and mask decoder over rows of several images, with extra output tokens.

segment-anything's `MaskDecoder.forward` repeats its image embeddings for every row and so serves one image per call.
These functions run the decoder's own modules on rows that each name their image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder
from torch import Tensor

from hqsam_lightning.types import PromptEmbeddings, PromptGroup, SamFeatures

ALL_MASKS = "all"
"""Value of ``multimask_output`` that takes all three of SAM's masks; see `sam_masks`."""


@dataclass
class DecoderState:
    """Output of the two-way transformer for n rows.

    Attributes:
        iou_token: (n, C).
        mask_tokens: (n, 4, C), SAM's single-mask token and its three multi-mask tokens.
        extra_tokens: (n, T, C), the output tokens that a head added.
        upscaled: (n, C/8, 4h, 4w), SAM's mask-decoder feature.
    """

    iou_token: Tensor
    mask_tokens: Tensor
    extra_tokens: Tensor
    upscaled: Tensor


def encode_group(prompt_encoder: PromptEncoder, group: PromptGroup, image_index: Tensor) -> PromptEmbeddings:
    """Runs SAM's prompt encoder once.

    Args:
        prompt_encoder: SAM's.
        group: prompts of one combination of kinds.
        image_index: (N,) the image of each of the batch's masks.
    """
    points = None
    if group.point_coords is not None:
        points = (group.point_coords, group.point_labels)
    sparse, dense = prompt_encoder(points=points, boxes=group.boxes, masks=group.masks)
    return PromptEmbeddings(group.rows, image_index[group.rows], sparse, dense)


def run_transformer(
    decoder: MaskDecoder,
    features: SamFeatures,
    prompts: PromptEmbeddings,
    extra_tokens: Tensor | None = None,
    mask_tokens: Tensor | None = None,
) -> DecoderState:
    """Runs the decoder's transformer and upscaling on one group of prompts.

    Args:
        decoder: SAM's mask decoder.
        features: of B images.
        prompts: n rows, each with the index of its image.
        extra_tokens: (T, C) output tokens appended to SAM's own; they take part in the attention.
        mask_tokens: (4, C), instead of SAM's own.
    """
    own = [decoder.iou_token.weight, decoder.mask_tokens.weight if mask_tokens is None else mask_tokens]
    output_tokens = torch.cat(own if extra_tokens is None else [*own, extra_tokens])
    rows = prompts.rows.shape[0]
    tokens = torch.cat([output_tokens.expand(rows, -1, -1), prompts.sparse], dim=1)
    # index_select, because the backward of advanced indexing is slow and nondeterministic on a CPU
    embeddings = features.image_embeddings.index_select(0, prompts.image_index) + prompts.dense
    hidden, grid = decoder.transformer(embeddings, features.dense_pe.expand_as(embeddings), tokens)
    grid = grid.transpose(1, 2).reshape(embeddings.shape)
    first_extra = 1 + decoder.num_mask_tokens
    return DecoderState(
        iou_token=hidden[:, 0],
        mask_tokens=hidden[:, 1:first_extra],
        extra_tokens=hidden[:, first_extra : len(output_tokens)],
        upscaled=decoder.output_upscaling(grid),
    )


def in_row_order(groups: Sequence[PromptGroup | PromptEmbeddings], values: Sequence[Tensor]) -> Tensor:
    """Joins one (n, ...) tensor per group of prompts to one (N, ...), in the order of the batch's masks."""
    order = torch.argsort(torch.cat([group.rows for group in groups]))
    # index_select, see `run_transformer`
    return torch.cat(list(values)).index_select(0, order)


def token_logits(weights: Tensor, feature: Tensor) -> Tensor:
    """Mask logits: the dot product of each row's (n, c) weights with its (n, c, h, w) feature, as (n, 1, h, w)."""
    return torch.einsum("nc,nchw->nhw", weights, feature).unsqueeze(1)


def single_mask_weights(decoder: MaskDecoder, state: DecoderState) -> Tensor:
    """Output of the MLP of SAM's single-mask token, (n, C/8)."""
    return decoder.output_hypernetworks_mlps[0](state.mask_tokens[:, 0])


def plain_masks(
    decoder: MaskDecoder, features: SamFeatures, prompts: PromptEmbeddings, multimask_output: bool | str = False
) -> tuple[Tensor, Tensor]:
    """A decoder's masks of one group of prompts as SAM has them; see `run_transformer` and `sam_masks`."""
    return sam_masks(decoder, run_transformer(decoder, features, prompts), multimask_output)


def sam_masks(decoder: MaskDecoder, state: DecoderState, multimask_output: bool | str) -> tuple[Tensor, Tensor]:
    """SAM's own masks of each row.

    Args:
        decoder: SAM's mask decoder.
        state: of n rows.
        multimask_output: False takes SAM's single mask; True, of its three masks, the one that SAM scores highest;
            `ALL_MASKS` all three.

    Returns:
        Logits (n, M, 4h, 4w) and predicted IoU: (n,) for M = 1, (n, 3) for all three.
    """
    iou = decoder.iou_prediction_head(state.iou_token)
    if not multimask_output:
        return token_logits(single_mask_weights(decoder, state), state.upscaled), iou[:, 0]
    mlps = list(decoder.output_hypernetworks_mlps)[1:]
    candidates = torch.stack([mlp(state.mask_tokens[:, i + 1]) for i, mlp in enumerate(mlps)], dim=1)
    if multimask_output == ALL_MASKS:
        return torch.einsum("nmc,nchw->nmhw", candidates, state.upscaled), iou[:, 1:]
    best_iou, best = iou[:, 1:].max(dim=1)
    weights = candidates[torch.arange(len(best), device=best.device), best]
    return token_logits(weights, state.upscaled), best_iou
