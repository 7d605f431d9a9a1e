"""Solid shapes without a meaning: blobs, polygons, rings."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from hqsam_lightning.data.scenes.strokes import Stroke, circle, contour


def blob(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a solid smooth blob."""
    return [Stroke(contour(rng, 0.35))]


def polygon(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a solid irregular polygon or star."""
    corners = int(rng.integers(3, 12))
    angles = (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) * 2 * np.pi / corners
    return [Stroke(rng.uniform(0.45, 1, (corners, 1)) * circle(angles))]


def ring(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a blob with one wide hole, or with several small ones."""
    outer = contour(rng, 0.2)
    if rng.random() < 0.5:
        return [Stroke(outer), Stroke(outer * rng.uniform(0.55, 0.85), ink=False)]
    centers = 0.5 * circle(np.arange(rng.integers(2, 6)) * 2 * np.pi / 5)
    return [Stroke(outer), *(Stroke(contour(rng, 0.2) * rng.uniform(0.1, 0.24) + c, ink=False) for c in centers)]
