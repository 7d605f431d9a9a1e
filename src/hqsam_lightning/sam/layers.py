"""SAM's MLP and norm in less memory and time; equal to segment-anything's."""

from __future__ import annotations

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.common import LayerNorm2d, MLPBlock
from torch import Tensor, nn
from torch.nn import functional as F

TOKENS = 1024
"""Tokens per chunk: the allocator reuses the memory of a hidden layer of this size."""


def is_whole(tokens: Tensor) -> bool:
    """Whether tokens are taken at once: on a GPU, and in a graph that is exported, whose batch may have any size."""
    return tokens.is_cuda or torch.compiler.is_exporting()


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
        if is_whole(tokens):
            return self.lin2(self.act(self.lin1(tokens)))
        parts = tokens.flatten(0, -2).split(TOKENS)
        return torch.cat([self.lin2(self.act(self.lin1(part))) for part in parts]).view_as(tokens)


def chunk_mlps(encoder: ImageEncoderViT) -> None:
    """Replaces every block's MLP by a `ChunkedMlp`; no weight is copied or renamed."""
    for block in encoder.blocks:
        block.mlp = ChunkedMlp(block.mlp)


class ChannelNorm(LayerNorm2d):
    """segment-anything's norm of (B, C, H, W) over C, with its parameters and their names.

    segment-anything takes six elementwise passes, each of which autograd keeps a copy of. The fused kernel wants the
    channels last in memory, and leaves them so: the convolutions around it then work in that format too.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalises each pixel's channels."""
        last = x.permute(0, 2, 3, 1)
        return F.layer_norm(last, last.shape[-1:], self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


def fuse_norms(model: nn.Module) -> None:
    """Sets a `ChannelNorm` in every `LayerNorm2d`'s place; no weight is copied or renamed."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, LayerNorm2d) and not isinstance(child, ChannelNorm):
                norm = ChannelNorm(len(child.weight), child.eps)
                norm.weight, norm.bias = child.weight, child.bias
                setattr(module, name, norm)
