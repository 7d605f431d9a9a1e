"""Post-refinement of SAM's masks by a network that sees the image and the mask (table 4 of the paper)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqsam_lightning.heads.base import Head
from hqsam_lightning.sam.decoding import plain_masks
from hqsam_lightning.sam.frozen import FrozenSam
from hqsam_lightning.sam.layers import ChannelNorm
from hqsam_lightning.seeding import seeded_init
from hqsam_lightning.types import MaskLogits, PromptEmbeddings, SamFeatures

WIDTH = 96
DILATIONS = (1, 2, 4, 8, 1)


class RefinerHead(Head):
    """A small convolutional network that corrects SAM's mask logits; SAM stays frozen.

    It has the image at the logits' size, its finer pixels stacked as channels, beside the logits. The paper's row is
    CascadePSP with its published weights; this one is trained on what HQ-SAM is trained on. At the first step it equals
    plain SAM.

    Args:
        sam: gives the sizes of images and logits.
        seed: seed of the initial weights.
    """

    outputs = ("hq",)
    needs_pixels = True

    def __init__(self, sam: FrozenSam, seed: int = 0) -> None:
        super().__init__()
        self.finer = sam.image_size // sam.mask_input_size
        with seeded_init(seed, "refiner"):
            self.stem = nn.Conv2d(3 * self.finer**2 + 1, WIDTH, 3, padding=1)
            self.blocks = nn.ModuleList(_Block(dilation) for dilation in DILATIONS)
            self.last = nn.Conv2d(WIDTH, 1, 1)
        for value in self.last.parameters():
            nn.init.zeros_(value)

    def decode(
        self, sam: FrozenSam, features: SamFeatures, image_feature: Tensor | None, prompts: PromptEmbeddings
    ) -> MaskLogits:
        """Runs SAM, then the refiner on its logits."""
        with torch.no_grad():
            logits, iou = plain_masks(sam.mask_decoder, features, prompts)
        assert features.pixels is not None
        pixels = features.pixels[prompts.image_index] / 127.5 - 1
        hidden = self.stem(torch.cat([F.pixel_unshuffle(pixels, self.finer), logits.sigmoid()], dim=1))
        for block in self.blocks:
            hidden = block(hidden)
        return MaskLogits(sam=logits, hq=logits + self.last(hidden), iou=iou)


class _Block(nn.Module):
    """A residual block whose second convolution is dilated by `dilation`."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            ChannelNorm(WIDTH),
            nn.GELU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=dilation, dilation=dilation),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.layers(hidden)
