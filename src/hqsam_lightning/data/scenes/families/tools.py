"""Made things with thin parts: wheels, bicycles, chairs, ladders, combs, umbrellas, balloons."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.random import Generator

from hqsam_lightning.data.scenes.strokes import Stroke, circle, contour, ellipse, mesh, smooth, taper


def wheel(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a rim, a hub and spokes."""
    rim, hub = contour(rng, 0), contour(rng, 0) * rng.uniform(0.1, 0.3)
    ends = rim[np.linspace(0, 64, int(rng.integers(4, 13)), endpoint=False).astype(int)]
    spokes = [Stroke(np.stack([np.zeros(2), end]), max(2, 0.7 * thin)) for end in ends]
    return [*spokes, Stroke(np.concatenate([rim, rim[:1]]), thin * rng.uniform(1, 2), part=1), Stroke(hub, part=1)]


def bicycle(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a bicycle from the side: two spoked wheels, a frame, handlebar and saddle."""
    radius, high = rng.uniform(0.42, 0.55), -rng.uniform(0.55, 0.75)
    back, front, pedal = np.array([[-0.75, 0], [0.75, 0], [-0.1, rng.uniform(0, 0.1)]])
    saddle, head = np.array([[-0.3, high], [0.5, high]]) + rng.normal(0, 0.04, (2, 2))
    bars = [[back, pedal, saddle, back], [pedal, head, saddle], [head, front]]
    strokes = []
    for hub in (back, front):
        rim = ellipse(hub, radius, radius)
        spokes = rim[:: int(rng.choice([2, 4]))]
        strokes += [Stroke(np.stack([hub, end]), 2, part=1) for end in spokes]
        strokes.append(Stroke(np.concatenate([rim, rim[:1]]), thin, part=1))
    grip = np.add(head, [[0.0, 0.0], [-0.03, -0.18], [rng.uniform(0.05, 0.25), -0.2]])
    seat = np.add(saddle, [[0.0, 0.0], [-0.03, -0.1]])
    frame = [Stroke(np.stack(bar), thin) for bar in bars]
    return [
        *strokes,
        *frame,
        Stroke(ellipse(pedal, 0.1, 0.1), part=2),
        Stroke(grip, thin, part=2),
        Stroke(seat, thin),
        Stroke(ellipse(seat[1], 0.17, 0.05), part=2),
    ]


def chair(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a chair in oblique view: a seat, four legs, and a back that is solid, slatted or barred."""
    away = np.array([rng.uniform(0.15, 0.5) * rng.choice([-1, 1]), -rng.uniform(0.15, 0.4)])
    wide, legs, tall = rng.uniform(0.8, 1.1), rng.uniform(0.6, 1.1), rng.uniform(0.6, 1.2)
    left, right = np.zeros(2), np.array([wide, 0])
    seat = np.stack([left, right, right + away, left + away])
    splay = rng.uniform(0, 0.12)
    feet = np.add(seat, [[-splay, legs], [splay, legs], [splay, 0.9 * legs], [-splay, 0.9 * legs]])
    posts = np.stack([seat[3], seat[2]])
    up = np.array([rng.normal(0, 0.08), -tall])
    strokes = [Stroke(np.stack(pair), 1.2 * thin) for pair in zip(seat, feet, strict=True)]
    strokes += [Stroke(np.stack([post, post + up]), 1.2 * thin) for post in posts]
    strokes += _chair_back(rng, posts, up, thin)
    apron = np.stack([left, seat[3], seat[2], right, np.array([wide, 0.1]), np.array([0, 0.1])])
    return [*strokes, Stroke(apron), Stroke(seat, part=1)]


def _chair_back(rng: Generator, posts: np.ndarray, up: np.ndarray, thin: float) -> list[Stroke]:
    kind, low = rng.integers(3), rng.uniform(0.15, 0.5)
    if kind == 0:
        return [Stroke(np.concatenate([posts + low * up, (posts + up)[::-1]]), part=1)]
    if kind == 1:
        return [Stroke(posts + height * up, 1.2 * thin) for height in np.linspace(low, 1, int(rng.integers(2, 5)))]
    ways = np.linspace(0, 1, int(rng.integers(4, 8)))[1:-1, None]
    feet = posts[0] + ways * (posts[1] - posts[0])
    return [Stroke(posts + up, 1.2 * thin), *(Stroke(np.stack([foot, foot + up]), max(2, 0.7 * thin)) for foot in feet)]


def ladder(rng: Generator, thin: float) -> list[Stroke]:
    """Draws rungs between two rails that lean together."""
    x, y = np.meshgrid([-1, 1], np.linspace(-1, 1, rng.integers(4, 9)))
    width = rng.uniform(0.25, 0.45) + rng.uniform(0, 0.15) * y
    return mesh(np.stack([x * width, y], 2), thin, 1.3 * thin)


def comb(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a bar with teeth of uneven length, on one side or both."""
    bar, sides = np.array([[-1, -0.1], [1, -0.1], [1, 0.12], [-1, 0.12]]), (1, -1) if rng.random() < 0.3 else (1,)
    teeth = [(x, side * rng.uniform(0.7, 1)) for side in sides for x in np.linspace(-0.97, 0.97, rng.integers(6, 13))]
    return [Stroke(bar), *(Stroke(np.array([[x, 0], [x, y]]), max(2, 0.75 * thin)) for x, y in teeth)]


def umbrella(rng: Generator, thin: float) -> list[Stroke]:
    """Draws an open umbrella: a scalloped canopy of two colours on a thin stick with a crook."""
    panels, dome, dip = int(rng.integers(4, 8)), rng.uniform(0.45, 0.95), rng.uniform(0.05, 0.18)
    edges = -np.cos(np.linspace(0, np.pi, panels + 1))
    canopy = []
    for index, (left, right) in enumerate(pairwise(edges)):
        hem = smooth([[left, 0], [(left + right) / 2, -dip], [right, 0]])
        rise = np.sin(np.linspace(0, np.pi / 2, 10))[:, None]
        fall = np.cos(np.linspace(0, np.pi / 2, 10))[:, None]
        sides = [fall * [x, 0] + rise * [0, -dome] for x in (right, left)]
        canopy.append(Stroke(np.concatenate([hem, sides[0], sides[1][::-1]]), part=2 * (index % 2)))
    low, crook = rng.uniform(0.6, 1.4), rng.uniform(0.08, 0.2)
    hook = circle(np.linspace(0, np.pi, 9)) * crook + [-crook, low]
    stick = np.concatenate([[[0, -dome - 0.12]], hook])
    return [Stroke(stick, thin, part=1), *canopy]


def balloon(rng: Generator, thin: float) -> list[Stroke]:
    """Draws one to three balloons whose strings meet."""
    count, hand = int(rng.integers(1, 4)), np.array([rng.normal(0, 0.2), rng.uniform(1.6, 2.6)])
    strings, skins = [], []
    for index in range(count):
        x, y = (index - (count - 1) / 2) * rng.uniform(0.7, 1.0), rng.uniform(-0.35, 0.2)
        knot, tall = np.array([0.8 * x, y + 0.72]), rng.uniform(0.6, 0.7)
        bend = (knot + hand) / 2 + rng.normal(0, 0.15, 2)
        strings.append(Stroke(smooth([knot, bend, hand]), max(2, 0.5 * thin), part=3))
        skins.append(Stroke(np.add(knot, [[-0.09, 0.06], [0, -0.2], [0.09, 0.06]]), part=index))
        pear = taper([[x, y - 0.1], [0.95 * x, y + 0.2], knot], [0.52, 0.42, 0.03])
        skins.append(Stroke(pear, part=index))
        skins.append(Stroke(ellipse([x, y - 0.05], 0.53, tall), part=index))
    return [*strings, *skins]
