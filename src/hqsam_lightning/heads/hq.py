"""HQ-SAM's head: the HQ output token, its MLP and the fused HQ-Features (paper, section 3)."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from segment_anything.modeling.mask_decoder import MLP
from torch import Tensor, nn

from hqsam_lightning.errors import ConfigError, choice_error
from hqsam_lightning.heads.base import Head
from hqsam_lightning.heads.fusion import ConvFusion, FpnFusion, RawFusion
from hqsam_lightning.heads.official import load_official
from hqsam_lightning.sam.decoding import run_transformer, sam_masks
from hqsam_lightning.sam.frozen import FrozenSam
from hqsam_lightning.seeding import seeded_init
from hqsam_lightning.types import MaskLogits, PromptEmbeddings, SamFeatures

SOURCES = ("decoder", "final", "early")
FUSIONS = ("none", "conv", "fpn")


class HQHead(Head):
    """Learns one output token that goes through SAM's frozen decoder and is dotted with the HQ-Features.

    Args:
        embed_dim: C, channels of SAM's image embeddings.
        early_dim: E, channels of the early ViT feature.
        features: sources of the HQ-Features, of "decoder", "final" and "early".
        fusion: "conv" (the paper's), "none" (SAM's decoder feature as it is) or "fpn".
        multimask_output: which of SAM's masks stands beside the HQ mask; see `sam_masks`.
        seed: seed of the initial weights; they depend on it alone.
        weights: an official HQ-SAM ``.pth`` to begin from.

    Raises:
        ConfigError: for an unknown source or fusion, or a pair of them that does not exist.
        WeightsError: when the official file does not fit.
    """

    def __init__(
        self,
        embed_dim: int,
        early_dim: int,
        features: Collection[str] = SOURCES,
        fusion: str = "conv",
        multimask_output: bool = False,
        seed: int = 0,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self.multimask_output = multimask_output
        with seeded_init(seed, "token"):
            self.token = nn.Embedding(1, embed_dim)
        with seeded_init(seed, "mlp"):
            self.mlp = MLP(embed_dim, embed_dim, embed_dim // 8, 3)
        self.fusion = _build_fusion(embed_dim, early_dim, features, fusion, seed)
        if weights is not None:
            load_official(self, Path(weights).expanduser())

    def image_feature(self, features: SamFeatures) -> Tensor | None:
        """The encoder's part of the HQ-Features, once an image."""
        return self.fusion.image_feature(features)

    def decode(
        self, sam: FrozenSam, features: SamFeatures, image_feature: Tensor | None, prompts: PromptEmbeddings
    ) -> MaskLogits:
        """Runs SAM's decoder with the HQ token beside SAM's own tokens."""
        state = run_transformer(sam.mask_decoder, features, prompts, self.token.weight)
        # not by [...], see `run_transformer`
        rows_feature = None if image_feature is None else image_feature.index_select(0, prompts.image_index)
        hq = self.fusion(self.mlp(state.extra_tokens[:, 0]), state.upscaled, rows_feature)
        logits, iou = sam_masks(sam.mask_decoder, state, self.multimask_output)
        return MaskLogits(sam=logits, hq=hq, iou=iou)


def _build_fusion(
    embed_dim: int, early_dim: int, features: Collection[str], fusion: str, seed: int
) -> RawFusion | ConvFusion | FpnFusion:
    unknown = [source for source in features if source not in SOURCES]
    if unknown or not features:
        raise ConfigError(f"variants.<name>.features: expected some of {', '.join(SOURCES)}; got {list(features)}")
    if fusion not in FUSIONS:
        raise choice_error("variants.<name>.fusion", fusion, FUSIONS)
    if fusion == "conv":
        return ConvFusion(embed_dim, early_dim, features, seed)
    needed = {"decoder"} if fusion == "none" else set(SOURCES)
    if set(features) != needed:
        raise ConfigError(
            f"variants.<name>.features: fusion={fusion} expects exactly {sorted(needed)}; got {list(features)}; "
            "set features so, or use fusion=conv"
        )
    return RawFusion() if fusion == "none" else FpnFusion(embed_dim, early_dim, seed)
