"""The authors' package as a reference, at any size."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import torch
from torch import nn

from hqsam_lightning.heads import HQHead
from hqsam_lightning.heads.official import to_official
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.types import Prompt


def official_model(sam: FrozenSam, head: HQHead, encoder: dict[str, Any], mlp_dim: int) -> nn.Module:
    """Builds `segment_anything_hq`'s model with the weights of ours; every name must fit."""
    with warnings.catch_warnings():
        # the package imports modules from where timm used to have them
        warnings.simplefilter("ignore")
        from segment_anything_hq.modeling import ImageEncoderViT, MaskDecoderHQ, PromptEncoder, Sam, TwoWayTransformer
    grid = sam.mask_input_size // 4
    model = Sam(
        image_encoder=ImageEncoderViT(
            img_size=sam.image_size,
            patch_size=sam.image_size // grid,
            out_chans=sam.embed_dim,
            mlp_ratio=4,
            qkv_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            **encoder,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=sam.embed_dim,
            image_embedding_size=(grid, grid),
            input_image_size=(sam.image_size, sam.image_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoderHQ(
            transformer_dim=sam.embed_dim,
            transformer=TwoWayTransformer(depth=2, embedding_dim=sam.embed_dim, mlp_dim=mlp_dim, num_heads=8),
            iou_head_hidden_dim=sam.embed_dim,
            vit_dim=sam.early_dim,
        ),
    )
    model.load_state_dict({**sam.sam.state_dict(), **to_official(head.state_dict())}, strict=True)
    return model.eval()


@torch.no_grad()
def official_features(model: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Final (B, C, h, w) and early (B, E, h, w) features of uint8 images in the input frame."""
    final, interm = model.image_encoder(torch.stack([model.preprocess(image.float()) for image in images]))
    return final, interm[0].permute(0, 3, 1, 2)


@torch.no_grad()
def official_logits(
    model: nn.Module,
    final: torch.Tensor,
    early: torch.Tensor,
    prompts: list[Prompt],
    multimask_output: bool,
    hq_token_only: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (n, 1, 4h, 4w) and IoU (n,) of one image's prompts, all of one combination of kinds.

    Args:
        model: the authors' model.
        final: (1, C, h, w).
        early: (1, E, h, w).
        prompts: of the image.
        multimask_output: see the authors' decoder.
        hq_token_only: HQ logits alone, or SAM + HQ.
    """
    first = prompts[0]
    points = None
    if first.point_coords is not None:
        points = (torch.stack([p.point_coords for p in prompts]), torch.stack([p.point_labels for p in prompts]))
    sparse, dense = model.prompt_encoder(
        points=points,
        boxes=torch.stack([p.box for p in prompts]) if first.box is not None else None,
        masks=torch.stack([p.mask for p in prompts]) if first.mask is not None else None,
    )
    logits, iou = model.mask_decoder(
        image_embeddings=final,
        image_pe=model.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask_output,
        hq_token_only=hq_token_only,
        interm_embeddings=early.permute(0, 2, 3, 1)[None],
    )
    return logits, iou[:, 0]
