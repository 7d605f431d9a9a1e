"""The authors' model and training procedure on the modules of their package `segment-anything-hq`.

As in the released training code, the frozen SAM runs whole, its decoder one image at a time with the masks brought to
the input frame, and so does the HQ decoder; prompts of all kinds are drawn from every label and one is used.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.workload import Workload
from hqsam_lightning.heads import HQHead
from hqsam_lightning.heads.official import to_official
from hqsam_lightning.prompts.kinds import box_of, noise_mask, sample_points
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.types import Batch

POINTS = 10


class AuthorsStep:
    """One optimiser step by the authors' procedure, from the same weights and on the same batch as a `Workload`.

    Args:
        workload: of one full HQ head on a ViT; box prompts.
    """

    def __init__(self, workload: Workload) -> None:
        (head,) = workload.module.trained.values()
        assert isinstance(head, HQHead)
        self.batch = workload.batch
        self.loss = workload.module.loss
        self.model = build_authors_model(workload.module.sam, head)
        self.model.requires_grad_(False)
        learned = to_official(head.state_dict()).keys()
        self.parameters = [value for name, value in self.model.named_parameters() if name in learned]
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        self.optimizer = torch.optim.Adam(self.parameters, lr=1e-3)

    def __call__(self) -> Tensor:
        """One optimiser step; returns its loss."""
        embeddings, early, prompts = self._run_frozen_sam(self.batch)
        logits = []
        for index, (sparse, dense) in enumerate(prompts):
            logits.append(self._decode(embeddings[index], early[index], sparse, dense, hq_token_only=True))
        loss = self.loss(torch.cat(logits), self.batch.masks, self.batch.seeds, self.batch.mask_weights())["loss"]
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def _run_frozen_sam(self, batch: Batch) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        side = batch.pixels.shape[-1]
        images = torch.stack([self.model.preprocess(image.float()) for image in batch.pixels])
        embeddings, interm = self.model.image_encoder(images)
        prompts = []
        for index in range(len(images)):
            boxes = self._prompts_of_all_kinds(batch.masks[batch.image_index == index])
            prompts.append(self.model.prompt_encoder(points=None, boxes=boxes, masks=None))
            sparse, dense = prompts[-1]
            low = self._decode(embeddings[index], interm[0][index], sparse, dense, hq_token_only=False)
            F.interpolate(low, (side, side), mode="bilinear", align_corners=False)
        return embeddings, interm[0], prompts

    def _prompts_of_all_kinds(self, masks: Tensor) -> Tensor:
        rng = np.random.default_rng(0)
        for mask in masks.cpu():
            sample_points(mask, POINTS, rng)
            noise_mask(mask, 4 * self.model.prompt_encoder.image_embedding_size[0], rng)
        return torch.stack([box_of(mask) for mask in masks])

    def _decode(self, embedding: Tensor, early: Tensor, sparse: Tensor, dense: Tensor, hq_token_only: bool) -> Tensor:
        logits, _ = self.model.mask_decoder(
            image_embeddings=embedding[None],
            image_pe=self.model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
            hq_token_only=hq_token_only,
            interm_embeddings=early[None, None],
        )
        return logits


def build_authors_model(sam: FrozenSam, head: HQHead) -> Any:
    """Builds `segment_anything_hq`'s ViT model with the weights of ours, of any size; every name must fit."""
    with warnings.catch_warnings():
        # the package imports modules from where timm used to have them
        warnings.simplefilter("ignore")
        from segment_anything_hq.modeling import ImageEncoderViT, MaskDecoderHQ, PromptEncoder, Sam, TwoWayTransformer
    ours, mlp = sam.sam.image_encoder, sam.mask_decoder.transformer.layers[0].mlp
    grid = sam.mask_input_size // 4
    model = Sam(
        image_encoder=ImageEncoderViT(
            img_size=sam.image_size,
            patch_size=sam.image_size // grid,
            embed_dim=sam.early_dim,
            depth=len(ours.blocks),
            num_heads=ours.blocks[0].attn.num_heads,
            mlp_ratio=4,
            out_chans=sam.embed_dim,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=max(block.window_size for block in ours.blocks),
            global_attn_indexes=[index for index, block in enumerate(ours.blocks) if block.window_size == 0],
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=sam.embed_dim,
            image_embedding_size=(grid, grid),
            input_image_size=(sam.image_size, sam.image_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoderHQ(
            transformer_dim=sam.embed_dim,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=sam.embed_dim, mlp_dim=mlp.lin1.out_features, num_heads=8
            ),
            iou_head_hidden_dim=sam.embed_dim,
            vit_dim=sam.early_dim,
        ),
    )
    model.load_state_dict({**sam.sam.state_dict(), **to_official(head.state_dict())})
    return model.eval().to(sam.device)
