"""Logits of several heads for one batch; the frozen encoder runs once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hqsam_lightning.heads.base import Head
from hqsam_lightning.sam.frozen import FrozenSam
from hqsam_lightning.types import Batch, MaskLogits


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
