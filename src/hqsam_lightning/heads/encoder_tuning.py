"""Parameter-efficient tuning of SAM's image encoder (table 9 of the paper): LoRA, and adapters.

SAM's decoder predicts the mask and stays as it is. At the first step each equals plain SAM. The encoder is a copy
around SAM's own weights: only what is added to it takes memory.
"""

from __future__ import annotations

import copy
from importlib.util import find_spec
from typing import Any

import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn

from hqsam_lightning.checks import arguments, integer
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.heads.base import Head
from hqsam_lightning.sam.decoding import plain_masks
from hqsam_lightning.sam.frozen import FrozenSam
from hqsam_lightning.seeding import seeded_init
from hqsam_lightning.types import MaskLogits, PromptEmbeddings, SamFeatures


class TunedEncoderHead(Head):
    """SAM with an image encoder that something was added to.

    Args:
        encoder: with the parameters that are trained.
    """

    outputs = ("hq",)
    needs_pixels = True

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    @property
    def own_encoder(self) -> nn.Module:
        """The encoder with what was added to it."""
        return self.encoder

    def train(self, mode: bool = True) -> TunedEncoderHead:
        """Stays in eval mode: SAM's part of the encoder keeps its statistics."""
        return super().train(False)

    def decode(
        self, sam: FrozenSam, features: SamFeatures, image_feature: Tensor | None, prompts: PromptEmbeddings
    ) -> MaskLogits:
        """Runs SAM's decoder as it was released."""
        logits, iou = plain_masks(sam.mask_decoder, features, prompts)
        return MaskLogits(sam=logits, hq=logits, iou=iou)


class LoraHead(TunedEncoderHead):
    """Low-rank updates of every block's fused query, key and value projection, by `peft`.

    After Hu et al., "LoRA", ICLR 2022. On ViT-L, rank 4 has the 1.5 MiB that the paper gives.

    Args:
        sam: whose encoder is tuned.
        rank: of the updates, which are added unscaled.
        seed: seed of the initial weights.

    Raises:
        ConfigError: for a rank below 1, or where `peft` is not installed.
    """

    @arguments("variants.<name>", rank=integer(1), seed=integer(0))
    def __init__(self, sam: FrozenSam, rank: int = 4, seed: int = 0) -> None:
        if find_spec("peft") is None:
            raise ConfigError("LoraHead: expected the package peft, found none; pip install 'hqsam-lightning[peft]'")
        from peft import LoraConfig, inject_adapter_in_model

        with seeded_init(seed, "lora"):
            config = LoraConfig(r=rank, lora_alpha=rank, target_modules=["qkv"])
            super().__init__(inject_adapter_in_model(config, _sharing_encoder(sam.sam)))


class AdapterHead(TunedEncoderHead):
    """A bottleneck behind every block's MLP, before the block's sum.

    After Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019, without biases: on ViT-L a width
    of 64 has the 12.0 MiB that the paper gives. The paper does not say where its adapter sits.

    Args:
        sam: whose encoder is tuned.
        width: of the bottleneck.
        seed: seed of the initial weights.

    Raises:
        ConfigError: for a width below 1.
    """

    @arguments("variants.<name>", width=integer(1), seed=integer(0))
    def __init__(self, sam: FrozenSam, width: int = 64, seed: int = 0) -> None:
        encoder = _sharing_encoder(sam.sam)
        blocks = [module for module in encoder.modules() if hasattr(module, "attn") and hasattr(module, "mlp")]
        for number, block in enumerate(blocks):
            with seeded_init(seed, "adapter", number):
                block.mlp = nn.Sequential(block.mlp, _Bottleneck(block.attn.qkv.in_features, width))
        super().__init__(encoder)


def _sharing_encoder(sam: Sam) -> Any:
    """A copy of the image encoder around the same weights, so that its parts can be exchanged at no cost of memory."""
    tensors = [*sam.image_encoder.parameters(), *sam.image_encoder.buffers()]
    return copy.deepcopy(sam.image_encoder, {id(tensor): tensor for tensor in tensors})


class _Bottleneck(nn.Module):
    """Adds to tokens (..., D) what a narrow layer makes of them; nothing at first."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(channels, width, bias=False)
        self.up = nn.Linear(width, channels, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.up(torch.nn.functional.gelu(self.down(tokens)))
