"""Letters and digits of the fonts that matplotlib ships."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from matplotlib.path import Path as Outline
from numpy.random import Generator

from hqsam_lightning.data.scenes.strokes import Stroke

FONTS = ("DejaVuSans-Bold", "DejaVuSerif-Bold", "DejaVuSans", "DejaVuSerif-Italic")
CHARACTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZabcdefghkmnopqrstuvwxyz23456789&@"  # all of one piece


def glyphs(rng: Generator, thin: float) -> list[Stroke]:
    """Draws one to three letters or digits; several stand on a bar."""
    font, count = FONTS[rng.integers(len(FONTS))], int(rng.choice([1, 2, 3], p=[0.6, 0.2, 0.2]))
    strokes, x = [], 0.0
    for index, which in enumerate(rng.integers(0, len(CHARACTERS), count)):
        outlines = glyph_outlines(font, CHARACTERS[which])
        strokes += [Stroke(np.add(points, [x, 0]), ink=ink, part=index % 2) for points, ink in outlines]
        x += max(points[:, 0].max() for points, _ in outlines) + 0.05
    if count > 1:
        strokes.append(Stroke(np.array([[0, 0], [x - 0.05, 0]]), 1.5 * thin, part=2))
    return strokes


@cache
def glyph_outlines(font: str, character: str) -> list[tuple[np.ndarray, bool]]:
    """Returns a character's outlines, each (n, 2) in units of its font's size, and whether each is filled or a hole.

    The character stands on y = 0, y points down, and its left edge is x = 0. Holes come after what they cut.
    """
    face = FT2Font(str(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")))
    face.set_size(72, 72)
    face.load_char(ord(character))
    vertices, codes = face.get_path()
    polygons = [np.asarray(points) / [72, -72] for points in Outline(vertices, codes).to_polygons()]
    left = min(points[:, 0].min() for points in polygons)
    areas = [_signed_area(points) for points in polygons]
    order = sorted(range(len(areas)), key=lambda at: -abs(areas[at]))  # what lies inside another comes after it
    return [(polygons[at] - [left, 0], areas[at] * areas[order[0]] > 0) for at in order]


def _signed_area(points: np.ndarray) -> float:
    (x, y), (after_x, after_y) = points.T, np.roll(points, -1, 0).T
    return float((x * after_y - y * after_x).sum() / 2)
