"""What is evaluated, as suites use it: an image is encoded once for all heads, and prompts are decoded in chunks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hqsam_lightning.evaluation.table import Row
from hqsam_lightning.heads import Head
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.types import MaskLogits, PromptGroup, SamFeatures, StoredFeatures


@dataclass(frozen=True)
class Model:
    """A frozen SAM and heads on it.

    Attributes:
        sam: the frozen model, on its device.
        heads: by name, plain SAM first, on the same device.
        masks_at_once: most prompts of one decoder call, which bounds its memory.
    """

    sam: FrozenSam
    heads: Mapping[str, Head]
    masks_at_once: int

    @property
    def rows(self) -> list[Row]:
        """Each (variant, output) that is scored."""
        return [(name, output) for name, head in self.heads.items() for output in head.outputs]

    @torch.no_grad()
    def encode(self, images: Tensor | StoredFeatures) -> EncodedImages:
        """Encodes B images once for all heads, except those that have an encoder of their own."""
        shared = self.sam.features(images) if any(head.own_encoder is None for head in self.heads.values()) else None
        features: dict[str, SamFeatures] = {}
        for name, head in self.heads.items():
            if head.own_encoder is None and shared is not None:
                features[name] = shared
            elif head.own_encoder is not None:
                pixels = images.pixels if isinstance(images, StoredFeatures) else images
                assert pixels is not None
                features[name] = self.sam.encode_with(head.own_encoder, pixels)
        return EncodedImages(self, features)


@dataclass(frozen=True)
class EncodedImages:
    """B images, ready to be prompted as often as needed.

    Attributes:
        model: that encoded them.
        features: by head.
    """

    model: Model
    features: Mapping[str, SamFeatures]

    @torch.no_grad()
    def predictions(
        self, prompts: Sequence[PromptGroup], image_index: Tensor, variants: Collection[str] | None = None
    ) -> Iterator[tuple[str, MaskLogits]]:
        """Yields one head's logits of N prompts after another's.

        Args:
            prompts: groups whose rows together are 0 .. N-1, in pixels of the input frame.
            image_index: (N,) the image of each.
            variants: names of the heads; None takes all.
        """
        sam = self.model.sam
        chunks = [chunk for group in prompts for chunk in _chunks(group, self.model.masks_at_once)]
        embeddings = sam.encode_prompts(chunks, image_index)
        for name, head in self.model.heads.items():
            if variants is None or name in variants:
                yield name, head(sam, self.features[name], embeddings)

    def logits(
        self, prompts: Sequence[PromptGroup], image_index: Tensor, variants: Collection[str] | None = None
    ) -> dict[Row, Tensor]:
        """(N, 1, 4h, 4w) logits of each (variant, output) that is scored; see `predictions`."""
        found = self.predictions(prompts, image_index, variants)
        return {(name, output): of.select(output) for name, of in found for output in self.model.heads[name].outputs}


def _chunks(group: PromptGroup, most: int) -> Iterator[PromptGroup]:
    """Parts of a group with at most so many rows."""
    for start in range(0, len(group.rows), most):
        part = {name: value[start : start + most] for name, value in vars(group).items() if value is not None}
        yield replace(group, **part)
