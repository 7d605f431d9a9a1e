"""HQ-Features: how early-ViT, final-ViT and mask-decoder features become one (paper, section 3.2 and table 3)."""

from __future__ import annotations

from collections.abc import Collection

from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F

from hqsam_lightning.seeding import seeded_init
from hqsam_lightning.types import SamFeatures


class RawFusion(nn.Module):
    """SAM's mask-decoder feature as it is; learns nothing."""

    def image_feature(self, features: SamFeatures) -> Tensor | None:
        """There is none."""
        return None

    def forward(self, upscaled: Tensor, image_feature: Tensor | None) -> Tensor:
        """Returns the (n, C/8, 4h, 4w) decoder feature unchanged."""
        return upscaled


class ConvFusion(nn.Module):
    """The paper's fusion: two convolutions a source, then the sum.

    Args:
        embed_dim: C, channels of the image embeddings.
        early_dim: E, channels of the early feature.
        sources: of "decoder", "final" and "early"; no module is built for one left out.
        seed: seed of the initial weights.
    """

    def __init__(self, embed_dim: int, early_dim: int, sources: Collection[str], seed: int) -> None:
        super().__init__()
        out = embed_dim // 8
        if "final" in sources:
            with seeded_init(seed, "fusion.final"):
                self.final = _upscale_by_4(embed_dim, embed_dim // 4, out)
        if "early" in sources:
            with seeded_init(seed, "fusion.early"):
                self.early = _upscale_by_4(early_dim, embed_dim, out)
        if "decoder" in sources:
            with seeded_init(seed, "fusion.decoder"):
                self.decoder = nn.Sequential(
                    nn.Conv2d(out, embed_dim // 4, 3, padding=1),
                    LayerNorm2d(embed_dim // 4),
                    nn.GELU(),
                    nn.Conv2d(embed_dim // 4, out, 3, padding=1),
                )
        self.sources = frozenset(sources)

    def image_feature(self, features: SamFeatures) -> Tensor | None:
        """Sum of the encoder's fused features, (B, C/8, 4h, 4w); None when only the decoder's is used."""
        fused = None
        if "final" in self.sources:
            fused = self.final(features.image_embeddings)
        if "early" in self.sources:
            early = self.early(features.early)
            fused = early if fused is None else fused + early
        return fused

    def forward(self, upscaled: Tensor, image_feature: Tensor | None) -> Tensor:
        """Adds a row's decoder feature and its image's feature; both (n, C/8, 4h, 4w)."""
        if "decoder" not in self.sources and image_feature is not None:
            return image_feature
        decoded = self.decoder(upscaled)
        return decoded if image_feature is None else decoded + image_feature


class FpnFusion(nn.Module):
    """A feature pyramid's top-down path instead of the paper's fusion (last row of table 3).

    Lateral 1x1 convolutions, the coarse levels upsampled to the decoder's size (nearest neighbour) and added, and a
    3x3 convolution on the sum, after Lin et al., "Feature Pyramid Networks", CVPR 2017. Uses all three sources.

    Args:
        embed_dim: C, channels of the image embeddings.
        early_dim: E, channels of the early feature.
        seed: seed of the initial weights.
    """

    def __init__(self, embed_dim: int, early_dim: int, seed: int) -> None:
        super().__init__()
        out = embed_dim // 8
        with seeded_init(seed, "fusion.fpn"):
            self.final = nn.Conv2d(embed_dim, out, 1)
            self.early = nn.Conv2d(early_dim, out, 1)
            self.decoder = nn.Conv2d(out, out, 1)
            self.smooth = nn.Conv2d(out, out, 3, padding=1)

    def image_feature(self, features: SamFeatures) -> Tensor:
        """The pyramid's coarse level at the decoder's size, (B, C/8, 4h, 4w)."""
        coarse = self.final(features.image_embeddings) + self.early(features.early)
        return F.interpolate(coarse, scale_factor=4, mode="nearest")

    def forward(self, upscaled: Tensor, image_feature: Tensor) -> Tensor:
        """The pyramid's fine level; all (n, C/8, 4h, 4w)."""
        return self.smooth(self.decoder(upscaled) + image_feature)


def _upscale_by_4(channels: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(channels, hidden, kernel_size=2, stride=2),
        LayerNorm2d(hidden),
        nn.GELU(),
        nn.ConvTranspose2d(hidden, out, kernel_size=2, stride=2),
    )
