"""What objects are drawn with: strokes, and the curves and shapes that the families share.

A family draws in any frame it likes, y pointing down and the object upright; only widths are fixed, in pixels of a
256 px frame. Who draws the strokes scales, turns and places them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

Point = np.ndarray | Sequence[float]
Points = np.ndarray | Sequence[Point]


class Stroke(NamedTuple):
    """A polyline `width` px wide, or a filled polygon (0), of an object; later strokes cover earlier ones.

    Attributes:
        points: (n, 2) float64, x and y in the family's own frame.
        width: px of a 256 px frame; 0 fills the polygon.
        ink: False cuts a hole in earlier strokes.
        part: the part of the object it belongs to, 0 the body; a part has its own colours.
    """

    points: np.ndarray
    width: float = 0.0
    ink: bool = True
    part: int = 0


def circle(angles: np.ndarray) -> np.ndarray:
    """Returns the unit vectors (n, 2) of n angles."""
    return np.stack([np.cos(angles), np.sin(angles)], 1)


_UNIT = circle(np.linspace(0, 2 * np.pi, 32, endpoint=False))
_CAP = circle(np.linspace(0, np.pi, 9)[1:-1])
_WINDOW = np.arange(4)
_STEP = np.linspace(0, 1, 6, endpoint=False)[:, None] ** np.arange(4)  # powers 0 to 3 of the way between two points
_CATMULL_ROM = _STEP @ np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2


def contour(rng: Generator, roughness: float) -> np.ndarray:
    """Returns a closed smooth curve, (64, 2): a unit circle whose radius a few harmonics modulate."""
    angles, order = np.linspace(0, 2 * np.pi, 64, endpoint=False), np.arange(2, 6)[:, None]
    waves = np.cos(order * angles + rng.uniform(0, 2 * np.pi, (4, 1))) * rng.normal(0, roughness, (4, 1)) / order
    return np.clip(1 + waves.sum(0), 0.3, 2)[:, None] * circle(angles)


def curl(rng: Generator, start: np.ndarray, angle: float, length: float) -> np.ndarray:
    """Returns a curve of 8 steps, (9, 2), that leaves `start` at `angle` and turns a little on its way."""
    return curls(rng, np.asarray(start)[None], np.array([angle]), np.array([length]))[0]


def curls(rng: Generator, starts: np.ndarray, angles: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns n curves of 8 steps, (n, 9, 2), from (n, 2) starts, their n angles and lengths; each turns on its way."""
    headings = angles[:, None] + np.linspace(0, 1, 8) * rng.normal(0, 0.7, (len(starts), 1))
    steps = np.stack([np.cos(headings), np.sin(headings)], 2) * lengths[:, None, None] / 8
    return np.cumsum(np.concatenate([starts[:, None], steps], 1), 1)


def mesh(grid: np.ndarray, thin: float, border: float) -> list[Stroke]:
    """Draws the lines of a (rows, columns, 2) grid, `thin` px wide, the first and last column `border` px."""
    lines = [Stroke(line, thin) for line in (*grid, *grid.transpose(1, 0, 2))]
    return [*lines, Stroke(grid[:, 0], border, part=1), Stroke(grid[:, -1], border, part=1)]


def ellipse(center: Point, width: float, height: float, angle: float = 0.0) -> np.ndarray:
    """Returns an ellipse, (32, 2), from its centre, half its width and height, and its angle."""
    cos, sin = math.cos(angle), math.sin(angle)
    return _UNIT @ np.array([[width * cos, width * sin], [-height * sin, height * cos]]) + np.asarray(center)


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Returns the corners of a rectangle, (4, 2)."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def smooth(points: Points, closed: bool = False) -> np.ndarray:
    """Returns a smooth curve through n points of d coordinates, 6 steps apart: (6 n, d) closed, (6 n - 5, d) open."""
    given = np.asarray(points, dtype=float)
    first, last = (given[-1:], given[:2]) if closed else (2 * given[:1] - given[1:2], 2 * given[-1:] - given[-2:-1])
    padded = np.concatenate([first, given, last])
    curve = (_CATMULL_ROM @ padded[np.arange(len(padded) - 3)[:, None] + _WINDOW]).reshape(-1, given.shape[1])
    return curve if closed else np.concatenate([curve, given[-1:]])


def taper(points: Points, radii: Sequence[float]) -> np.ndarray:
    """Returns the outline of a limb with round ends: a smooth curve through the points, as thick as their radii say."""
    path = smooth(np.concatenate([np.asarray(points), np.asarray(radii)[:, None]], 1))
    spine, radius = path[:, :2], np.maximum(path[:, 2:], 0)
    ahead = np.concatenate([spine[1:2] - spine[:1], spine[2:] - spine[:-2], spine[-1:] - spine[-2:-1]])
    ahead /= np.maximum(np.hypot(ahead[:, :1], ahead[:, 1:]), 1e-9)
    aside = ahead[:, ::-1] * [-1, 1] * radius
    caps = [
        spine[end] + direction * (_CAP[:, :1] * aside[end] + _CAP[:, 1:] * radius[end] * ahead[end])
        for end, direction in ((-1, 1), (0, -1))
    ]
    return np.concatenate([spine + aside, caps[0], (spine - aside)[::-1], caps[1]])


def profile(points: Points) -> np.ndarray:
    """Returns the outline of a turned body: a smooth curve through (half width, y) points, and its mirror image."""
    right = np.maximum(smooth(points), np.asarray(points).min(0))  # no narrower than asked, or the sides would cross
    return np.concatenate([right, right[::-1] * [-1, 1]])
