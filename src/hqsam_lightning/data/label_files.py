"""Masks of several objects in one file: PNGs whose palette indices are the objects, as DAVIS has them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def palette_png(labels: np.ndarray) -> bytes:
    """A PNG of (H, W) uint8 palette indices, whose colours are those of PASCAL VOC and DAVIS."""
    indices = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    # each three bits of an index are the next lower bits of red, green and blue
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((indices >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    image = Image.fromarray(labels)
    image.putpalette(colours.ravel().tolist())
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
