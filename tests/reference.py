"""The authors' model as a reference: its features and logits."""

from __future__ import annotations

import torch
from torch import nn

from hqsam_lightning.types import Prompt


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
