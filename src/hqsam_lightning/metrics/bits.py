"""Packed masks: 64 pixels of an image row per int64, for erosion and counting at an eighth of the memory traffic.

Shapes: N masks of H x W pixels, as (N, H, ceil(W / 64)) words. Pixel x is bit x % 64 of word x // 64; bits beyond the
frame are 0, which is background.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

WORD = 64
# bit gather by multiplication: the low bits of eight bytes end up, in order, in the top byte of the product
GATHER = 0x0102040810204080


def pack(mask: Tensor) -> Tensor:
    """Packs (N, H, W) bool, in any order of memory."""
    pixels = F.pad(mask, (0, -mask.shape[-1] % WORD)).contiguous().view(torch.int64)
    return ((pixels * GATHER) >> 56).to(torch.int8).view(torch.int64)


def unpack(words: Tensor, width: int) -> Tensor:
    """Unpacks to (N, H, width) bool."""
    places = torch.arange(8, dtype=torch.uint8, device=words.device)
    pixels = (words.view(torch.uint8).unsqueeze(-1) >> places) & 1
    return pixels.flatten(-2)[..., :width].bool()


def erode(words: Tensor, radius: int) -> Tensor:
    """Erodes by a square of side 2 * radius + 1; outside the frame is background.

    Args:
        words: packed masks at least as wide and high as the square.
        radius: in pixels.
    """
    return _erode_rows(_erode_columns(words, radius), radius)


def dilate(words: Tensor, radius: int, width: int) -> Tensor:
    """Adds the pixels at most `radius` from an object pixel, in Euclidean distance.

    Args:
        words: packed masks.
        radius: in pixels.
        width: of the frame, in pixels.
    """
    grown = torch.zeros_like(words)
    padded = F.pad(words, (0, 0, radius, radius))
    for step in range(radius + 1):
        rows = padded.narrow(1, radius + step, words.shape[1]) | padded.narrow(1, radius - step, words.shape[1])
        grown |= _dilate_rows(rows, math.isqrt(radius**2 - step**2))
    return grown & pack(torch.ones(1, 1, width, dtype=torch.bool, device=words.device))


def shift(words: Tensor, columns: int, rows: int) -> Tensor:
    """Masks whose pixel (x, y) is pixel (x + columns, y + rows) of these, rows >= 0; background beyond the frame."""
    return _shift(F.pad(words, (0, 0, 0, rows))[:, rows:], columns)


def count(words: Tensor) -> Tensor:
    """Number of each mask's object pixels, (N,) int64."""
    pairs = words - ((words >> 1) & 0x5555555555555555)
    fours = (pairs & 0x3333333333333333) + ((pairs >> 2) & 0x3333333333333333)
    eights = (fours + (fours >> 4)) & 0x0F0F0F0F0F0F0F0F
    return ((eights * 0x0101010101010101) >> 56).flatten(1).sum(1)


def _erode_columns(words: Tensor, radius: int) -> Tensor:
    words = F.pad(words, (0, 0, radius, radius))
    for step in _steps(2 * radius + 1):
        length = words.shape[1] - step
        words = words.narrow(1, 0, length) & words.narrow(1, step, length)
    return words


def _erode_rows(words: Tensor, radius: int) -> Tensor:
    for step in _steps(2 * radius + 1):
        words = words & _shift(words, step)
    return _shift(words, -radius)


def _dilate_rows(words: Tensor, radius: int) -> Tensor:
    # room on both sides for what is shifted beyond the words and back
    words = F.pad(words, (room := radius // WORD + 1, room))
    for step in _steps(2 * radius + 1):
        words = words | _shift(words, step)
    return _shift(words, -radius)[..., room:-room]


def _steps(window: int) -> list[int]:
    """Shift amounts for an AND over `window` pixels in about log2(window) steps."""
    steps, reached = [], 1
    while reached < window:
        steps.append(min(reached, window - reached))
        reached += steps[-1]
    return steps


def _shift(words: Tensor, by: int) -> Tensor:
    """Masks whose pixel x is pixel x + by of these."""
    whole, bits = divmod(by, WORD)
    padded = F.pad(words, (-whole, whole + 1))
    low, high = padded[..., :-1], padded[..., 1:]
    if bits == 0:
        return low
    # >> repeats the sign, which is a pixel here
    return ((low >> bits) & ((1 << (WORD - bits)) - 1)) | (high << (WORD - bits))
