"""SAM's attention with decomposed relative positions on fused kernels; equal to segment-anything's eager attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention, get_rel_pos
from torch import Tensor, nn

from hqsam_lightning.sam.layers import TOKENS, is_whole

# elements of the bias computed at a time on a CPU: 16 MB, small enough for the allocator to reuse
BIAS = 2**22
# keys up to which a GPU is faster with the bias in memory than with additional channels: those of SAM's windows
BIAS_KEYS = 1024
# types in which two matrix products take half the time of PyTorch's fused CPU kernel
BY_PRODUCTS = (torch.bfloat16, torch.float16)


class FusedAttention(nn.Module):
    """segment-anything's ViT attention without the (L, L) matrix of logits or of biases.

    Replaces the `Attention` that it is built from: it holds the same modules and parameters under the same names.
    Relative positions add rel_h[q, row of k] + rel_w[q, column of k] to the logits (``add_decomposed_rel_pos``).
    CUDA kernels take them as a bias in windows, and as additional channels of queries and keys in the whole image. A
    CPU is faster with the bias of a few windows, or of a few hundred queries, at a time. Gradients reach inputs and
    parameters as in eager attention.

    Args:
        attention: of a block of SAM's ViT.
    """

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.qkv = attention.qkv
        self.proj = attention.proj
        self.rel_pos_h = attention.rel_pos_h
        self.rel_pos_w = attention.rel_pos_w

    def forward(self, tokens: Tensor) -> Tensor:
        """Attends among the h * w tokens of each of B images or windows; (B, h, w, D) to (B, h, w, D)."""
        if is_whole(tokens):
            return self._attend(tokens)
        some = max(1, TOKENS // tokens[0, ..., 0].numel())
        return _joined([self._attend(part) for part in tokens.split(some)], dim=0)

    def _attend(self, tokens: Tensor) -> Tensor:
        batch, height, width, _ = tokens.shape
        qkv = self.qkv(tokens).view(batch, height * width, 3, self.num_heads, -1)
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        grid = queries.unflatten(2, (height, width))
        by_row = torch.einsum("bnhwc,hkc->bnhwk", grid, get_rel_pos(height, height, self.rel_pos_h).to(grid.dtype))
        by_column = torch.einsum("bnhwc,wkc->bnhwk", grid, get_rel_pos(width, width, self.rel_pos_w).to(grid.dtype))
        by_bias = tokens.is_cuda and height * width <= BIAS_KEYS
        at_once = _attend_by_bias if by_bias else _attend_by_channels
        attend = at_once if is_whole(tokens) else _attend_by_chunks
        mixed = attend(queries, keys, values, by_row.flatten(2, 3), by_column.flatten(2, 3))
        return self.proj(mixed.transpose(1, 2).reshape(batch, height, width, -1))


def fuse_attention(encoder: ImageEncoderViT) -> None:
    """Replaces eager by fused attention in every block; no weight is copied or renamed."""
    for block in encoder.blocks:
        block.attn = FusedAttention(block.attn)


def _attend_by_chunks(queries: Tensor, keys: Tensor, values: Tensor, by_row: Tensor, by_column: Tensor) -> Tensor:
    """Attention (B, heads, L, d), with the biases of a few images, heads and queries at a time."""
    if queries.dtype in BY_PRODUCTS:
        queries, keys, values = queries.contiguous(), keys.contiguous(), values.contiguous()
    batch, heads, length, _ = queries.shape
    rows = min(length, max(1, BIAS // length))
    some_heads = min(heads, max(1, BIAS // (rows * length)))
    some_images = max(1, BIAS // (some_heads * rows * length))

    def attend(images: slice, head: slice, row: slice) -> Tensor:
        bias = (by_row[images, head, row, :, None] + by_column[images, head, row, None, :]).flatten(3)
        return _attend_with_bias(queries[images, head, row], keys[images, head], values[images, head], bias)

    def attend_heads(images: slice, head: slice) -> Tensor:
        return _joined([attend(images, head, row) for row in _slices(length, rows)], dim=2)

    def attend_images(images: slice) -> Tensor:
        return _joined([attend_heads(images, head) for head in _slices(heads, some_heads)], dim=1)

    return _joined([attend_images(images) for images in _slices(batch, some_images)], dim=0)


def _attend_with_bias(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    if queries.dtype not in BY_PRODUCTS:
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
    stacked, scale = queries.flatten(0, 1), queries.shape[-1] ** -0.5
    logits = bias.flatten(0, 1).baddbmm_(stacked, keys.flatten(0, 1).transpose(1, 2), alpha=scale)
    return (logits.softmax(-1) @ values.flatten(0, 1)).view_as(queries)


def _joined(parts: list[Tensor], dim: int) -> Tensor:
    return torch.cat(parts, dim) if len(parts) > 1 else parts[0]


def _slices(total: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, total, size)]


def _attend_by_bias(queries: Tensor, keys: Tensor, values: Tensor, by_row: Tensor, by_column: Tensor) -> Tensor:
    """Attention (B, heads, L, d) in one kernel call, with its (L, L) biases in memory."""
    bias = (by_row[..., :, None] + by_column[..., None, :]).flatten(3)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)


def _attend_by_channels(queries: Tensor, keys: Tensor, values: Tensor, by_row: Tensor, by_column: Tensor) -> Tensor:
    """Attention (B, heads, L, d) in one kernel call: [q, rel_h, rel_w] . [k, one-hot row, one-hot column]."""
    height, width, channels = by_row.shape[-1], by_column.shape[-1], queries.shape[-1]
    row = torch.eye(height, dtype=keys.dtype, device=keys.device).repeat_interleave(width, dim=0)
    column = torch.eye(width, dtype=keys.dtype, device=keys.device).repeat(height, 1)
    where = torch.cat([row, column], dim=1).expand(*keys.shape[:2], -1, -1)
    # tensor-core kernels need a multiple of 8 channels
    spare = -(channels + height + width) % 8
    queries = F.pad(torch.cat([queries * channels**-0.5, by_row, by_column], dim=-1), (0, spare))
    keys = F.pad(torch.cat([keys, where], dim=-1), (0, spare))
    if not _takes_narrow_values(queries):
        values = F.pad(values, (0, queries.shape[-1] - channels))
    return F.scaled_dot_product_attention(queries, keys, values, scale=1.0)[..., :channels]


def _takes_narrow_values(queries: Tensor) -> bool:
    """Whether the fastest kernel takes values of fewer channels than keys: cuDNN's on Hopper, and those of float32."""
    return queries.dtype == torch.float32 or (queries.is_cuda and torch.cuda.get_device_capability()[0] >= 9)
