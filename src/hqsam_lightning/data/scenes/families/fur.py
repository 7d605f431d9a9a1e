"""Bodies with hair along their border."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from hqsam_lightning.data.scenes.strokes import Stroke, circle, contour, ellipse


def furball(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a furry head or ball: a blob with many fine hairs along its border, often with ears, eyes and a nose."""
    outline = contour(rng, 0.12) * [1.0, rng.uniform(0.75, 1.0)]
    body = Stroke(outline)
    hair = _hairs(rng, outline, rng.uniform(0.12, 0.5), max(2, 0.4 * thin))
    if rng.random() < 0.4:
        return [*hair, body]
    lift, size = rng.uniform(0.6, 0.85), rng.uniform(0.18, 0.35)
    ears = [ellipse([side * lift, -lift * 0.85], size, rng.uniform(1, 2) * size, side * 0.5) for side in (-1, 1)]
    eyes = [ellipse([side * 0.35, -0.15], 0.1, 0.12) for side in (-1, 1)]
    nose = ellipse([0, 0.25], rng.uniform(0.1, 0.2), 0.1)
    return [
        *(Stroke(ear, part=1) for ear in ears),
        *hair,
        body,
        *(Stroke(points, part=2) for points in (*eyes, nose)),
    ]


def _hairs(rng: Generator, outline: np.ndarray, length: float, width: float) -> list[Stroke]:
    """Draws hairs that leave a closed outline around (0, 0), lean to one side and hang a little."""
    count, lean = int(rng.integers(60, 120)), rng.normal(0, 0.5)
    roots = outline[rng.integers(0, len(outline), count)]
    angles = np.arctan2(roots[:, 1], roots[:, 0]) + rng.normal(lean, 0.25, count)
    reach = circle(angles) * length * rng.uniform(0.4, 1.2, (count, 1))
    droop = np.array([0, 0.3 * length])
    hairs = np.stack([roots * 0.97, roots + 0.6 * reach, roots + reach + droop], 1)
    return [Stroke(hair, width) for hair in hairs]
