"""Context tokens: learned tokens appended to the prompts, a mask from SAM's own output token (table 2 of the paper)."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor, nn

from hqsam_lightning.checks import arguments, integer
from hqsam_lightning.heads.base import Head, SamSizes
from hqsam_lightning.heads.fusion import FUSION, SOURCES, build_fusion
from hqsam_lightning.sam.decoding import run_transformer, sam_masks, single_mask_weights
from hqsam_lightning.sam.frozen import FrozenSam
from hqsam_lightning.seeding import seeded_init
from hqsam_lightning.types import MaskLogits, PromptEmbeddings, SamFeatures


class ContextTokensHead(Head):
    """Learns tokens that SAM's frozen decoder attends to; SAM's output token and its frozen MLP predict the mask.

    After Zhou et al., "Learning to Prompt for Vision-Language Models", IJCV 2022, which the paper refers to.

    Args:
        sam: gives the channels of its image embeddings and of its early feature.
        num_tokens: learned tokens; the paper has 3.
        features: see `HQHead`.
        fusion: "none" dots SAM's decoder feature, "conv" the HQ-Features.
        seed: seed of the initial weights.

    Raises:
        ConfigError: for fewer than one token, or features and a fusion that do not exist.
    """

    outputs = ("hq",)

    @arguments("variants.<name>", num_tokens=integer(1), seed=integer(0), **FUSION)
    def __init__(
        self,
        sam: SamSizes,
        num_tokens: int = 3,
        features: Collection[str] = SOURCES,
        fusion: str = "conv",
        seed: int = 0,
    ) -> None:
        super().__init__()
        with seeded_init(seed, "context"):
            self.tokens = nn.Embedding(num_tokens, sam.embed_dim)
        self.fusion = build_fusion(sam, features, fusion, seed)

    def image_feature(self, features: SamFeatures) -> Tensor | None:
        """The encoder's part of the HQ-Features, once per image."""
        return self.fusion.image_feature(features)

    def decode(
        self, sam: FrozenSam, features: SamFeatures, image_feature: Tensor | None, prompts: PromptEmbeddings
    ) -> MaskLogits:
        """Runs SAM's decoder with the context tokens appended to the prompt tokens."""
        state = run_transformer(sam.mask_decoder, features, prompts, self.tokens.weight)
        rows_feature = None if image_feature is None else image_feature.index_select(0, prompts.image_index)
        weights = single_mask_weights(sam.mask_decoder, state)
        logits, iou = sam_masks(sam.mask_decoder, state, multimask_output=False)
        return MaskLogits(sam=logits, hq=self.fusion(weights, state.upscaled, rows_feature), iou=iou)
