"""SAM as HQ-SAM uses it: frozen, always in eval mode, encoding a batch of images and prompts of mixed kinds."""

from __future__ import annotations

import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn

from hqsam_lightning.cuts import CutPhotos
from hqsam_lightning.sam.base import SamModel
from hqsam_lightning.sam.decoding import encode_group
from hqsam_lightning.sam.encoder import early_channels, encode
from hqsam_lightning.types import PromptEmbeddings, PromptGroup, SamFeatures, StoredFeatures


class FrozenSam(SamModel):
    """A frozen Segment Anything model.

    Args:
        sam: segment-anything's model with its weights and either image encoder of this package.
        name: shown in reports, e.g. ``"vit_b"``.
        weights_sha256: fingerprint of the weights (`hqsam_lightning.sam.state_dicts.state_dict_sha256`); checkpoints of
            heads carry it.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp16"``: autocast of the image encoder alone.

    Raises:
        ConfigError: for an unknown precision.
    """

    def __init__(self, sam: Sam, name: str, weights_sha256: str, precision: str = "fp32") -> None:
        super().__init__(sam.requires_grad_(False), precision)
        self.name = name
        self.weights_sha256 = weights_sha256
        self.eval()

    def train(self, mode: bool = True) -> FrozenSam:
        """Stays in eval mode, whatever the trainer asks for."""
        return super().train(False)

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.sam.pixel_mean.device

    @property
    def image_size(self) -> int:
        """Side of the square input frame, in pixels."""
        return self.sam.image_encoder.img_size

    @property
    def mask_input_size(self) -> int:
        """Side of the prompt encoder's mask input and of the mask logits: four times the embedding grid."""
        return self.prompt_encoder.mask_input_size[0]

    @property
    def embed_dim(self) -> int:
        """Channels C of the image embeddings and prompt tokens."""
        return self.prompt_encoder.embed_dim

    @property
    def early_dim(self) -> int:
        """Channels E of the early feature."""
        return early_channels(self.sam.image_encoder)

    @torch.no_grad()
    def encode(self, images: Tensor) -> SamFeatures:
        """Encodes B images in one call.

        Args:
            images: (B, 3, H, W) uint8 RGB in the input frame; padding is already part of the image.
        """
        return self.encode_with(self.sam.image_encoder, images)

    def encode_with(self, encoder: nn.Module, images: Tensor) -> SamFeatures:
        """Encodes B images with a changed copy of the image encoder, with gradients.

        Args:
            encoder: of the frozen one's architecture.
            images: see `encode`.
        """
        pixels = self.normalise(images)
        with self.autocast(images.device):
            final, early = encode(encoder, pixels)
        return self._as_features(final, early, images)

    def features(self, images: Tensor | StoredFeatures | CutPhotos) -> SamFeatures:
        """Features of B images: encoded in one call, or as they were stored.

        Args:
            images: (B, 3, H, W) uint8 RGB in the input frame, or their stored features.

        Raises:
            TypeError: photos whose prompts are shown cuts; `hqsam_lightning.evaluation.model.Model` encodes those.
        """
        if isinstance(images, CutPhotos):
            raise TypeError("expected images or stored features, got photos that are to be cut")
        if isinstance(images, Tensor):
            return self.encode(images)
        return self._as_features(images.image_embeddings, images.early, images.pixels)

    def _as_features(self, final: Tensor, early: Tensor, pixels: Tensor | None) -> SamFeatures:
        """Features in float32 and channels-last memory, the fastest for heads."""
        final, early = (each.float().contiguous(memory_format=torch.channels_last) for each in (final, early))
        return SamFeatures(final, early, self.prompt_encoder.get_dense_pe(), pixels)

    @torch.no_grad()
    def encode_prompts(self, groups: list[PromptGroup], image_index: Tensor) -> list[PromptEmbeddings]:
        """Encodes each group of prompts in one call of SAM's prompt encoder.

        Args:
            groups: prompts of N masks, grouped by kind and number of points.
            image_index: (N,) the image of each mask.
        """
        return [encode_group(self.prompt_encoder, group, image_index) for group in groups]
