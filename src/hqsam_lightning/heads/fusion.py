"""HQ-Features: how early-ViT, final-ViT and mask-decoder features become one (paper, section 3.2 and table 3).

A fusion gives the dot product of each row's HQ token with the HQ-Features, (n, C/8) . (n, C/8, 4h, 4w), and not the
features: their last convolution is linear, so that the token can go through it first (`conv_logits`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hqsam_lightning.checks import arguments, choice, list_of, where
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.heads.base import SamSizes
from hqsam_lightning.sam.decoding import token_logits
from hqsam_lightning.sam.layers import ChannelNorm
from hqsam_lightning.seeding import seeded_init
from hqsam_lightning.types import SamFeatures

SOURCES = ("decoder", "final", "early")
FUSIONS = ("none", "conv", "fpn")
FUSION = {
    "features": where(
        list_of(choice(*SOURCES), least=1),
        f"a list of some of {', '.join(SOURCES)}, each once",
        lambda features: len(set(features)) == len(features),
    ),
    "fusion": choice(*FUSIONS),
}
"""What a head's features and fusion have to be."""


class RawFusion(nn.Module):
    """SAM's mask-decoder feature unchanged; has no parameters."""

    def image_feature(self, features: SamFeatures) -> Tensor | None:
        """None: no feature of the encoder is used."""
        return None

    def forward(self, token: Tensor, upscaled: Tensor, image_feature: Tensor | None) -> Tensor:
        """Logits (n, 1, 4h, 4w) of tokens (n, C/8) on the decoder's feature (n, C/8, 4h, 4w)."""
        return token_logits(token, upscaled)


class ConvFusion(nn.Module):
    """The paper's fusion: two convolutions per source, then the sum.

    Args:
        embed_dim: C, channels of the image embeddings.
        early_dim: E, channels of the early feature.
        sources: of "decoder", "final" and "early"; no module is built for one left out.
        seed: seed of the initial weights.
        width: channels between two convolutions, as a multiple of the paper's.
    """

    def __init__(self, embed_dim: int, early_dim: int, sources: Collection[str], seed: int, width: float = 1.0) -> None:
        super().__init__()
        out, narrow, wide = embed_dim // 8, round(width * embed_dim / 4), round(width * embed_dim)
        if "final" in sources:
            with seeded_init(seed, "fusion.final"):
                self.final = _upscale_by_4(embed_dim, narrow, out)
        if "early" in sources:
            with seeded_init(seed, "fusion.early"):
                self.early = _upscale_by_4(early_dim, wide, out)
        if "decoder" in sources:
            with seeded_init(seed, "fusion.decoder"):
                self.decoder = nn.Sequential(
                    nn.Conv2d(out, narrow, 3, padding=1),
                    ChannelNorm(narrow),
                    nn.GELU(),
                    nn.Conv2d(narrow, out, 3, padding=1),
                )
        self.sources = frozenset(sources)

    def image_feature(self, features: SamFeatures) -> Tensor | None:
        """Sum of the encoder's fused features, (B, C/8, 4h, 4w); None when only the decoder's is used."""
        final = self.final(features.image_embeddings) if "final" in self.sources else None
        early = self.early(features.early) if "early" in self.sources else None
        return final + early if final is not None and early is not None else early if final is None else final

    def forward(self, token: Tensor, upscaled: Tensor, image_feature: Tensor | None) -> Tensor:
        """Logits (n, 1, 4h, 4w) of tokens (n, C/8) on the sum of the decoder's and the image's fused features.

        Args:
            token: (n, C/8).
            upscaled: (n, C/8, 4h, 4w), SAM's mask-decoder feature.
            image_feature: (n, C/8, 4h, 4w), of each row's image.
        """
        of_image = None if image_feature is None else token_logits(token, image_feature)
        if "decoder" not in self.sources and of_image is not None:
            return of_image
        logits = conv_logits(token, self.decoder[:-1](upscaled), cast(nn.Conv2d, self.decoder[-1]))
        return logits if of_image is None else logits + of_image


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

    def forward(self, token: Tensor, upscaled: Tensor, image_feature: Tensor) -> Tensor:
        """Logits (n, 1, 4h, 4w) of tokens (n, C/8) on the pyramid's fine level; features are (n, C/8, 4h, 4w)."""
        return conv_logits(token, self.decoder(upscaled) + image_feature, self.smooth)


@arguments("variants.<name>", **FUSION)
def build_fusion(
    sam: SamSizes, features: Collection[str], fusion: str, seed: int, width: float = 1.0
) -> RawFusion | ConvFusion | FpnFusion:
    """Builds the fusion that a head's config names: of `FUSIONS`, over features of `SOURCES`.

    Raises:
        ConfigError: for an unknown source or fusion, a pair of them that does not exist, or a width of no channel.
    """
    if fusion == "conv":
        if round(width * sam.embed_dim / 4) < 1:
            raise ConfigError(f"variants.<name>.fusion_width: expected a number that leaves a channel; got {width}")
        return ConvFusion(sam.embed_dim, sam.early_dim, features, seed, width)
    needed = {"decoder"} if fusion == "none" else set(SOURCES)
    if set(features) != needed:
        raise ConfigError(
            f"variants.<name>.features: fusion={fusion} expects exactly {sorted(needed)}; got {list(features)}; "
            "set features so, or use fusion=conv"
        )
    return RawFusion() if fusion == "none" else FpnFusion(sam.embed_dim, sam.early_dim, seed)


def conv_logits(token: Tensor, feature: Tensor, conv: nn.Conv2d) -> Tensor:
    """`token_logits(token, conv(feature))` without computing the convolution's output, at a fraction of its cost.

    Each row's token makes one kernel of the convolution's many. That kernel's products with the feature, one a place of
    the kernel, are matrix products; shifted by their places they add up to the logits.

    Args:
        token: (n, c).
        feature: (n, k, h, w).
        conv: from k to c channels, 3 x 3, padding 1, with a bias.

    Returns:
        (n, 1, h, w).
    """
    size = feature.shape[-2:]
    # `fold` moves a product to where its place in the kernel lies, convolution takes it from there: the kernel turns
    kernels = torch.einsum("nc,ckij->nkij", token, conv.weight).flip(-2, -1).flatten(2)
    # a CPU multiplies by 16 columns four times as fast as by 9
    padded = F.pad(kernels, (0, -kernels.shape[-1] % 16))
    products = (feature.permute(0, 2, 3, 1).flatten(1, 2) @ padded)[..., : kernels.shape[-1]]
    logits = F.fold(products.transpose(1, 2), size, kernel_size=3, padding=1)
    assert conv.bias is not None
    return logits + (token @ conv.bias)[:, None, None, None]


def _upscale_by_4(channels: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(channels, hidden, kernel_size=2, stride=2),
        ChannelNorm(hidden),
        nn.GELU(),
        nn.ConvTranspose2d(hidden, out, kernel_size=2, stride=2),
    )
