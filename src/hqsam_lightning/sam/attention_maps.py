"""What the decoder's output tokens attend to: cross-attention of its last layer (figure 6 of the paper)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from segment_anything.modeling import MaskDecoder
from torch import Tensor, nn


@contextmanager
def watch_token_attention(decoder: MaskDecoder) -> Iterator[list[Tensor]]:
    """Collects, for each decoder call inside, how the tokens attend to the image in the transformer's last layer.

    Args:
        decoder: SAM's mask decoder.

    Yields:
        A list that gets one tensor per call: (n, tokens, h * w), means over the attention heads, each row sums to 1.
    """
    maps: list[Tensor] = []

    def record(attention: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Tensor]) -> None:
        queries, keys = (_split(attention, name, kwargs[name[0]]) for name in ("q_proj", "k_proj"))
        logits = queries @ keys.transpose(-2, -1) / queries.shape[-1] ** 0.5
        maps.append(logits.softmax(-1).mean(1))

    layer = decoder.transformer.layers[-1].cross_attn_token_to_image
    handle = layer.register_forward_pre_hook(record, with_kwargs=True)
    try:
        with torch.no_grad():
            yield maps
    finally:
        handle.remove()


def _split(attention: Any, projection: str, tokens: Tensor) -> Tensor:
    """(n, L, C) tokens as (n, heads, L, c)."""
    projected = getattr(attention, projection)(tokens)
    return projected.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
