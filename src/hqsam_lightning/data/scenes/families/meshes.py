"""Things of lines and links: nets, fences, chains, cables."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from hqsam_lightning.data.scenes.strokes import Stroke, box, circle, ellipse, mesh, smooth


def net(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a warped mesh."""
    x, y = np.meshgrid(np.linspace(-1, 1, rng.integers(4, 8)), np.linspace(-1, 1, rng.integers(4, 8)))
    phase, bend = rng.uniform(0, 2 * np.pi, 2), rng.uniform(0, 0.2, 2)
    grid = np.stack([x + bend[0] * np.sin(2 * y + phase[0]), y + bend[1] * np.sin(2 * x + phase[1])], 2)
    return mesh(grid, max(2, 0.6 * thin), thin)


def fence(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a fence that recedes: posts or pointed pickets on two or three rails."""
    posts, far, pointed = int(rng.integers(4, 10)), rng.uniform(0.5, 1), rng.random() < 0.5
    way = np.linspace(0, 1, posts)
    x, scale = 2 * way * (2 - far - (1 - far) * way) - 1, 1 - (1 - far) * way
    rails = np.linspace(0.3, -0.35, int(rng.integers(2, 4)))
    strokes = [Stroke(np.array([[-1.08, y], [1.08, y * far]]), thin, part=1) for y in rails]
    if not pointed:
        return [
            *strokes,
            *(Stroke(np.array([[at, -0.55 * s], [at, 0.6 * s]]), 1.5 * thin) for at, s in zip(x, scale, strict=True)),
        ]
    half = rng.uniform(0.15, 0.3) * 2 / posts
    picket = np.array([[-half, 0.6], [-half, -0.5], [0, -0.68], [half, -0.5], [half, 0.6]])
    return [*strokes, *(Stroke(picket * s + [at, 0]) for at, s in zip(x, scale, strict=True))]


def chain(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a hanging chain: links seen from the front, with holes, and from the side, in turn."""
    links, turn = int(rng.integers(5, 12)), rng.normal(0, 0.12)
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(turn, 0.15, links))
    centers, slim = np.cumsum(circle(angles), 0), rng.uniform(0.32, 0.5)
    strokes = []
    for index, (center, angle) in enumerate(zip(centers, angles, strict=True)):
        link = ellipse(center, 0.8, slim if index % 2 == 0 else 0.04, angle)
        strokes.append(Stroke(np.concatenate([link, link[:1]]), thin, part=index % 2))
    return strokes


def cable(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a cable that winds and loops, with a plug at its end."""
    bends = int(rng.integers(6, 14))
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(rng.choice([-0.5, 0, 0.5]), 0.6, bends))
    path = smooth(np.cumsum(circle(angles), 0))
    (cos, sin) = circle(np.array([angles[-1]]))[0]
    size = rng.uniform(0.3, 0.45) * np.sqrt(bends / 6)
    turn = np.array([[cos, sin], [-sin, cos]])
    prongs = [box(0.9, y - 0.09, 1.7, y + 0.09) for y in (-0.35, 0.35)]
    shell = np.array([[-0.5, -0.2], [0.2, -0.65], [1, -0.65], [1, 0.65], [0.2, 0.65], [-0.5, 0.2]])
    plug = [
        Stroke(points * size @ turn + path[-1], part=part)
        for points, part in ((prongs[0], 2), (prongs[1], 2), (shell, 1))
    ]
    return [Stroke(path, rng.uniform(1, 1.6) * thin), *plug]
