"""Textures of photographs' statistics: crops of real photographs, noise over octaves, gradients and patterns.

The photographs are those that scikit-image's wheel ships (see `skimage.data` for their sources); no file is fetched.
A texture is (size, size, 3) float32 with mean 0 and standard deviation about 1 over its pixels; the painter scales it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.random import Generator
from skimage import data as photographs

from hqsam_lightning.data.scenes.strokes import circle

LONGEST_SIDE = 640
PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "immunohistochemistry",
    "moon",
    "retina",
    "rocket",
)


@lru_cache(maxsize=1)
def _photographs() -> tuple[np.ndarray, ...]:
    """Reads the photographs once a process, each (h, w, 3) uint8 with a longest side of at most LONGEST_SIDE px."""
    return tuple(_shrink(getattr(photographs, name)()) for name in PHOTOGRAPHS)


def _shrink(photo: np.ndarray) -> np.ndarray:
    scale = min(1.0, LONGEST_SIDE / max(photo.shape[:2]))
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return small if small.ndim == 3 else cv2.merge([small] * 3)


def photograph(rng: Generator, size: int) -> np.ndarray:
    """Crops a photograph at any scale, flips it and mixes its colour channels."""
    photo = _photographs()[rng.integers(len(PHOTOGRAPHS))]
    side = round(min(photo.shape[:2]) * rng.uniform(0.25, 1))
    top, left = rng.integers(photo.shape[0] - side + 1), rng.integers(photo.shape[1] - side + 1)
    crop = photo[top : top + side, left : left + side]
    crop = np.rot90(crop, int(rng.integers(4)))
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    crop = cv2.resize(np.ascontiguousarray(crop), (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    mixing = np.eye(3)[rng.permutation(3)] + rng.normal(0, 0.25, (3, 3))
    return _standardise(cv2.transform(crop, mixing.astype(np.float32)))


def octaves(rng: Generator, size: int) -> np.ndarray:
    """Sums noise over octaves, each a share of the last; brightness varies more than hue."""
    cells, falloff = int(2 ** rng.integers(1, 5)), rng.uniform(0.4, 1)
    total, weight = np.zeros((size, size, 3), np.float32), 1.0
    stretch = rng.integers(1, 4, 2) if rng.random() < 0.3 else (1, 1)  # grain, as of wood or fur
    while cells <= size // 2:
        octave = rng.standard_normal((cells * stretch[0], cells * stretch[1], 3), np.float32) * np.float32(weight)
        total += cv2.resize(0.4 * octave + octave[..., :1], (size, size))
        weight, cells = weight * falloff, cells * 2
    return _standardise(total)


def gradient(rng: Generator, size: int) -> np.ndarray:
    """Blends the colours of four corners, with fine grain."""
    corners = rng.standard_normal((2, 2, 3), np.float32)
    grain = rng.standard_normal((size // 2, size // 2, 1), np.float32) * np.float32(rng.uniform(0, 0.2))
    return _standardise(cv2.resize(corners, (size, size)) + cv2.resize(grain, (size, size))[..., None])


def pattern(rng: Generator, size: int) -> np.ndarray:
    """Repeats stripes, checks or spots of two colours, warped."""
    y, x = np.linspace(0, 1, size, dtype=np.float32)[:, None], np.linspace(0, 1, size, dtype=np.float32)[None]
    bent = x + np.float32(rng.uniform(0, 0.08)) * np.sin(2 * np.pi * (rng.uniform(0.5, 2) * y + rng.uniform()))
    cos, sin = np.float32(2 * np.pi * rng.uniform(3, 16)) * circle(rng.uniform(0, np.pi, 1))[0].astype(np.float32)
    wave = np.sin(bent * cos + y * sin)
    if kind := rng.integers(3):
        across = np.sin(y * cos - bent * sin)
        wave = wave * across if kind == 1 else wave + across - 1
    first, second = rng.standard_normal((2, 3), np.float32)
    return _standardise(_blend(first, second, wave * np.float32(rng.uniform(1, 12))) + 0.2 * octaves(rng, size))


def patchwork(rng: Generator, size: int) -> np.ndarray:
    """Joins two textures along a smooth random line, as ground and sky, or water and shore."""
    first, second = texture(rng, size, PLAIN), texture(rng, size, PLAIN)
    level = cv2.resize(rng.standard_normal((3, 3), np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    offset = rng.standard_normal(3, np.float32)
    return _standardise(_blend(first + offset, second - offset, level * np.float32(rng.uniform(3, 60))))


Texture = Callable[[Generator, int], np.ndarray]
PLAIN: dict[Texture, float] = {photograph: 0.45, octaves: 0.25, gradient: 0.2, pattern: 0.1}
ALL: dict[Texture, float] = {**PLAIN, patchwork: 0.3}


def texture(rng: Generator, size: int, kinds: dict[Texture, float] = ALL) -> np.ndarray:
    """Draws a texture of one of the kinds, by weight: (size, size, 3) float32, standardised."""
    weights = np.array(list(kinds.values()))
    return list(kinds)[rng.choice(len(weights), p=weights / weights.sum())](rng, size)


def _blend(first: np.ndarray, second: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Takes `first` where the level is high and `second` where it is low, by its sigmoid."""
    share = 0.5 + 0.5 * np.tanh(level / 2)[..., None]
    return second + share * (first - second)


def _standardise(image: np.ndarray) -> np.ndarray:
    mean, deviation = cv2.meanStdDev(image)
    return (image - mean[:, 0].astype(np.float32)) * np.float32(1 / (np.sqrt((deviation**2).mean()) + 1e-3))
