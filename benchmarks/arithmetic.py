"""Multiply-adds: of SAM's ViT by its definition, and the most that this machine does a second."""

from __future__ import annotations

import time

import torch
from segment_anything.modeling import ImageEncoderViT

SIDE = {"cpu": 4096, "cuda": 8192}
TRIES = 5


def vit_multiply_adds(encoder: ImageEncoderViT) -> int:
    """Multiply-adds of one image through SAM's ViT: its layers, and attention with its relative positions.

    Windows are counted with the padding that the windowed blocks compute on.
    """
    projection = encoder.patch_embed.proj
    width, grid = projection.out_channels, encoder.img_size // projection.kernel_size[0]
    total = grid**2 * width * 3 * projection.kernel_size[0] ** 2
    for block in encoder.blocks:
        side = block.window_size or grid
        windows = (-(-grid // side)) ** 2
        tokens = windows * side**2
        hidden = block.mlp.lin1.out_features
        total += tokens * 4 * width**2 + grid**2 * 2 * width * hidden
        total += windows * (2 * (side**2) ** 2 + side**2 * 2 * side) * width
    out = encoder.neck[0].out_channels
    return int(total + grid**2 * (width * out + 9 * out**2))


def matrix_peak(dtype: torch.dtype, device: torch.device) -> float:
    """Multiply-adds a second of the fastest of a few large square matrix products."""
    side = SIDE[device.type]
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(TRIES):
        start = time.perf_counter()
        product = left @ right
        product[0, 0].item()
        best = min(best, time.perf_counter() - start)
    return side**3 / best
