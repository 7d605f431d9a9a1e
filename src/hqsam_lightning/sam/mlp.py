"""SAM's ViT MLP for CPUs: equal to segment-anything's, without its largest tensors."""

from __future__ import annotations

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.common import MLPBlock
from torch import Tensor, nn

TOKENS = 1024
"""Tokens per chunk: the allocator reuses the memory of a hidden layer of this size."""


class ChunkedMlp(nn.Module):
    """segment-anything's MLP, in chunks of tokens on a CPU.

    Takes the place of the `MLPBlock` that it is made from: it holds the same modules under the same names.

    Args:
        mlp: of a block of SAM's ViT.
    """

    def __init__(self, mlp: MLPBlock) -> None:
        super().__init__()
        self.lin1 = mlp.lin1
        self.lin2 = mlp.lin2
        self.act = mlp.act

    def forward(self, tokens: Tensor) -> Tensor:
        """Transforms each of (..., D) tokens."""
        if tokens.is_cuda:
            return self.lin2(self.act(self.lin1(tokens)))
        parts = tokens.flatten(0, -2).split(TOKENS)
        return torch.cat([self.lin2(self.act(self.lin1(part))) for part in parts]).view_as(tokens)


def chunk_mlps(encoder: ImageEncoderViT) -> None:
    """Replaces every block's MLP by a `ChunkedMlp`; no weight is copied or renamed."""
    for block in encoder.blocks:
        block.mlp = ChunkedMlp(block.mlp)
