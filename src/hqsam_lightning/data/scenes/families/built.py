"""Built things of polygons: cars, houses."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from hqsam_lightning.data.scenes.strokes import Stroke, box, ellipse, smooth


def car(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a car from the side: body, cabin, windows, wheels."""
    roof, front, rear = rng.uniform(0.4, 0.9), rng.uniform(0.1, 0.75), rng.uniform(-1.05, -0.4)
    low, wheel = rng.uniform(0.25, 0.45), rng.uniform(0.2, 0.32)
    hood, trunk = rng.uniform(-0.2, 0.0), rng.uniform(-0.25, 0.0)
    body = smooth(
        [[-1.2, trunk + 0.1], [-1.0, trunk], [0.0, -0.1], [0.9, hood], [1.22, hood + 0.2], [1.2, low], [-1.2, low]],
        True,
    )
    cabin = np.array([[rear - 0.2, 0], [rear, -roof], [front - 0.15, -roof], [front + 0.3, 0]])
    pillar = (rear + front) / 2 + rng.uniform(-0.15, 0.15)
    top = -roof + 0.08
    windows = [
        np.array([[rear - 0.08, -0.12], [rear + 0.06, top], [pillar - 0.04, top], [pillar - 0.04, -0.12]]),
        np.array([[pillar + 0.04, -0.12], [pillar + 0.04, top], [front - 0.2, top], [front + 0.15, -0.12]]),
    ]
    tyres = [(x, radius, part) for x in (-0.7, 0.72) for radius, part in ((wheel, 2), (0.5 * wheel, 3))]
    return [
        Stroke(cabin),
        Stroke(body),
        *(Stroke(window, part=1) for window in windows),
        *(Stroke(ellipse([x, low], radius, radius), part=part) for x, radius, part in tyres),
    ]


def house(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a house: walls, a roof, windows, a door, a chimney or an aerial."""
    width, tall, pitch = rng.uniform(0.6, 1.1), rng.uniform(0.5, 1.2), rng.uniform(0.3, 0.9)
    eaves, ridge = width + rng.uniform(0.0, 0.2), rng.uniform(0, 0.6) * width
    roof = np.array([[-eaves, 0.0], [-ridge, -pitch], [ridge, -pitch], [eaves, 0.0]])
    x = rng.uniform(0.3, 0.6) * width * rng.choice([-1, 1])
    if rng.random() < 0.6:
        above = Stroke(box(x - 0.1, -pitch - rng.uniform(0, 0.3), x + 0.1, 0))
    else:
        above = Stroke(np.array([[x, 0], [x, -pitch - 0.5]]), thin, part=2)
    columns, rows = int(rng.integers(2, 5)), int(rng.integers(1, 4))
    pane = np.array([0.3 * 2 * width / columns, 0.25 * tall / rows])
    panes = [
        box(*(center - pane), *(center + pane))
        for u in (np.arange(columns) + 0.5) / columns
        for v in (np.arange(rows) + 0.5) / rows
        for center in [np.array([(2 * u - 1) * width, v * tall])]
    ]
    door = (int(rng.integers(columns)) + 1) * rows - 1
    panes[door][2:, 1] = tall
    walls = Stroke(box(-width, 0, width, tall))
    return [above, walls, Stroke(roof, part=1), *(Stroke(points, part=2) for points in panes)]
