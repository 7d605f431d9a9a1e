"""HQ-SAM's head: the HQ output token, its MLP and the fused HQ-Features (paper, section 3); and a variation of it."""

from __future__ import annotations

from collections.abc import Collection

import torch
from segment_anything.modeling.mask_decoder import MLP
from torch import Tensor, nn
from torch.nn import functional as F

from hqsam_lightning.checks import arguments, boolean, integer, number
from hqsam_lightning.heads.base import Head, SamSizes
from hqsam_lightning.heads.fusion import FUSION, SOURCES, build_fusion
from hqsam_lightning.sam.decoding import DecoderState, run_transformer, sam_masks
from hqsam_lightning.sam.frozen import FrozenSam
from hqsam_lightning.seeding import seeded_init
from hqsam_lightning.types import MaskLogits, PromptEmbeddings, SamFeatures


class HQHead(Head):
    """Learns one output token that goes through SAM's frozen decoder and is dotted with the HQ-Features.

    Args:
        sam: gives the channels of its image embeddings and of its early feature.
        features: sources of the HQ-Features, of "decoder", "final" and "early".
        fusion: "conv" (the paper's), "none" (SAM's decoder feature as it is) or "fpn".
        multimask_output: which of SAM's masks stands beside the HQ mask; see `sam_masks`.
        seed: seed of the initial weights; they depend on it alone.
        fusion_width: channels between two convolutions of the fusion, as a multiple of the paper's.

    Raises:
        ConfigError: for an unknown source or fusion, a pair of them that does not exist, or a width of no channel.
    """

    @arguments(
        "variants.<name>",
        **FUSION,
        multimask_output=boolean(),
        seed=integer(0),
        fusion_width=number(0, 64, above=True),
    )
    def __init__(
        self,
        sam: SamSizes,
        features: Collection[str] = SOURCES,
        fusion: str = "conv",
        multimask_output: bool = False,
        seed: int = 0,
        fusion_width: float = 1.0,
    ) -> None:
        super().__init__()
        self.multimask_output: bool | str = multimask_output
        with seeded_init(seed, "token"):
            self.token = nn.Embedding(1, sam.embed_dim)
        with seeded_init(seed, "mlp"):
            self.mlp = MLP(sam.embed_dim, sam.embed_dim, sam.embed_dim // 8, 3)
        self.fusion = build_fusion(sam, features, fusion, seed, fusion_width)

    def image_feature(self, features: SamFeatures) -> Tensor | None:
        """The encoder's part of the HQ-Features, once per image."""
        return self.fusion.image_feature(features)

    def decode(
        self, sam: FrozenSam, features: SamFeatures, image_feature: Tensor | None, prompts: PromptEmbeddings
    ) -> MaskLogits:
        """Runs SAM's decoder with the HQ token appended to SAM's own tokens."""
        state = run_transformer(sam.mask_decoder, features, prompts, self.token.weight)
        # not by [...], see `run_transformer`
        rows_feature = None if image_feature is None else image_feature.index_select(0, prompts.image_index)
        hq = self.fusion(self.mlp(self.mask_token(state)), state.upscaled, rows_feature)
        logits, iou = sam_masks(sam.mask_decoder, state, self.multimask_output)
        return MaskLogits(sam=logits, hq=hq, iou=iou)

    def mask_token(self, state: DecoderState) -> Tensor:
        """What the MLP turns into each row's mask: the HQ token (n, C) as the decoder leaves it."""
        return state.extra_tokens[:, 0]


class TokenProductHead(HQHead):
    """Lets the HQ token attend to SAM's output token and to itself before its MLP (table 2 of the paper).

    The paper names the scaled dot product of the two tokens without a formula. This is attention with the HQ token as
    query and both tokens as keys and values; it learns nothing beyond what `HQHead` does. Arguments are those of
    `HQHead`.
    """

    def mask_token(self, state: DecoderState) -> Tensor:
        """The mix (n, C) of both tokens that the HQ token asks for."""
        token = state.extra_tokens[:, :1]
        both = torch.cat([state.mask_tokens[:, :1], token], dim=1)
        return F.scaled_dot_product_attention(token, both, both)[:, 0]
