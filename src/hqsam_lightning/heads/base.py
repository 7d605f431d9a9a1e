"""The contract of a head: frozen features and encoded prompts in, mask logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Protocol

from torch import Tensor, nn

from hqsam_lightning.sam.decoding import in_row_order
from hqsam_lightning.sam.frozen import FrozenSam
from hqsam_lightning.types import Batch, MaskLogits, PromptEmbeddings, SamFeatures


class SamSizes(Protocol):
    """Sizes of SAM that a head without a copy of its parts needs."""

    @property
    def embed_dim(self) -> int:
        """Channels C of the image embeddings."""
        ...

    @property
    def early_dim(self) -> int:
        """Channels E of the early feature."""
        ...


class Head(nn.Module, ABC):
    """One method on top of the frozen SAM.

    A head owns its trainable parameters; SAM is an argument. Every trainable parameter must be used in each step, or
    distributed training breaks.

    Attributes:
        outputs: logits that are scored, see `MaskLogits.select`: a method that changes SAM's own mask has no other to
            add to it.
        needs_pixels: whether it needs the images themselves, and cannot train on stored features.
        replaces: whether its parameters replace weights of SAM instead of being added to them.
    """

    outputs: tuple[str, ...] = ("hq", "sum")
    needs_pixels: bool = False
    replaces: bool = False

    @property
    def learned(self) -> dict[str, nn.Parameter]:
        """Trainable parameters by name; a head may hold frozen parts of SAM too."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    @property
    def own_encoder(self) -> nn.Module | None:
        """The image encoder of a method that changes it; None decodes the features of SAM's."""
        return None

    def forward(self, sam: FrozenSam, features: SamFeatures, prompts: list[PromptEmbeddings]) -> MaskLogits:
        """Predicts the N masks of a batch, one decoder call per group of prompts.

        Args:
            sam: the frozen model whose decoder is used.
            features: of B images, by the head's own encoder where it has one.
            prompts: groups whose rows together are 0 .. N-1.

        Returns:
            Logits in the order of the batch's masks.
        """
        image_feature = self.image_feature(features)
        parts = [self.decode(sam, features, image_feature, group) for group in prompts]
        hq = [part.hq for part in parts if part.hq is not None]
        return MaskLogits(
            sam=in_row_order(prompts, [part.sam for part in parts]),
            hq=in_row_order(prompts, hq) if hq else None,
            iou=in_row_order(prompts, [part.iou for part in parts]),
        )

    def image_feature(self, features: SamFeatures) -> Tensor | None:
        """Feature that the head computes once per image, (B, c, 4h, 4w), or None."""
        return None

    @abstractmethod
    def decode(
        self, sam: FrozenSam, features: SamFeatures, image_feature: Tensor | None, prompts: PromptEmbeddings
    ) -> MaskLogits:
        """Predicts the masks of one group of prompts."""


def predictions(sam: FrozenSam, heads: Mapping[str, Head], batch: Batch) -> Iterator[tuple[str, MaskLogits]]:
    """Yields one head's logits after another's; the frozen encoder runs where a head takes its features.

    Args:
        sam: the frozen model.
        heads: by name.
        batch: of N rows.
    """
    prompts = sam.encode_prompts(batch.prompts, batch.image_index)
    shared = None
    for name, head in heads.items():
        if head.own_encoder is not None:
            features = sam.encode_with(head.own_encoder, batch.pixels)
        else:
            if shared is None:
                shared = sam.features(batch.images)
            features = shared
        yield name, head(sam, features, prompts)
