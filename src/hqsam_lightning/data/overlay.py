"""Masks and ignored pixels drawn over a photo."""

from __future__ import annotations

import matplotlib
import numpy as np

OPACITY = 0.6
DIMMED = 0.5
HATCH_PERIOD = 8
HATCH_GREYS = (96, 192)


def tint(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Draws (M, H, W) masks in [0, 1], each in its own colour, over a dimmed (H, W, 3) uint8 photo."""
    painted = DIMMED * image.astype(np.float32)
    for mask, colour in zip(masks, matplotlib.color_sequences["tab10"] * len(masks), strict=False):
        alpha = OPACITY * mask[..., None]
        painted += mask[..., None] * (1 - DIMMED) * image
        painted = (1 - alpha) * painted + alpha * 255 * np.array(colour, np.float32)
    return np.clip(painted, 0, 255).astype(np.uint8)


def hatch(image: np.ndarray, ignore: np.ndarray) -> np.ndarray:
    """Covers ignored pixels, (H, W) bool, of an (H, W, 3) uint8 image with diagonal stripes of two greys."""
    rows, columns = np.indices(ignore.shape)
    stripes = np.where((rows + columns) % HATCH_PERIOD < HATCH_PERIOD // 2, *HATCH_GREYS)
    return np.where(ignore[..., None], stripes[..., None], image).astype(np.uint8)
