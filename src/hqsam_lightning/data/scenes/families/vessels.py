"""Turned things: vases and bottles, cups and jugs with handles, lamps."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from hqsam_lightning.data.scenes.strokes import Stroke, box, ellipse, profile, taper


def vase(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a vase or a bottle: foot, belly, neck and lip, sometimes a label."""
    foot, belly, neck = rng.uniform(0.2, 0.45), rng.uniform(0.35, 0.7), rng.uniform(0.08, 0.5)
    shoulder = rng.uniform(-0.4, 0.3)
    height = rng.uniform(0.6, 1.2) - shoulder
    lip = neck + rng.uniform(0, 0.15)
    side = [[foot, 1], [belly, rng.uniform(0.3, 0.7)], [belly * rng.uniform(0.85, 1.05), shoulder]]
    body = profile([*side, [neck, shoulder - 0.45], [neck, -height + 0.1], [lip, -height]])
    rim = Stroke(ellipse([0, -height], lip, 0.25 * lip), part=1)
    label = Stroke(box(-0.6 * belly, shoulder + 0.15, 0.6 * belly, rng.uniform(0.6, 0.85)), part=2)
    return [Stroke(body), rim, *([label] if rng.random() < 0.4 else [])]


def cup(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a cup, a jug or a teapot: handles with holes, a rim, sometimes a spout and a lid."""
    foot, belly, mouth = rng.uniform(0.4, 0.8), rng.uniform(0.65, 0.9), rng.uniform(0.5, 0.85)
    height, sides = rng.uniform(0.6, 1.1), (1, -1) if rng.random() < 0.2 else (1,)
    strokes = []
    for side in sides:
        width, tall, y = rng.uniform(0.4, 0.65), rng.uniform(0.4, 0.7) * height, rng.uniform(-0.2, 0.1)
        grip = rng.uniform(0.6, 0.8)
        strokes += [
            Stroke(ellipse([side * 0.7, y], width, tall), part=1),
            Stroke(ellipse([side * 0.7, y], grip * width, grip * tall), ink=False),
        ]
    pot = len(sides) == 1 and rng.random() < 0.35
    if pot:
        tip = [-1.2 - 0.3 * rng.random(), -rng.uniform(0.3, 0.9) * height]
        strokes.append(Stroke(taper([[-0.4, 0.2], [-0.9, 0.1], tip], [0.25, 0.15, 0.08]), part=1))
    body = profile([[foot, height], [belly, 0.3 * height], [belly, -0.2 * height], [mouth, -height]])
    strokes.append(Stroke(body))
    rim = Stroke(ellipse([0, -height], mouth, rng.uniform(0.12, 0.25) * mouth), part=2)
    if not pot:
        return [*strokes, rim]
    lid = profile([[mouth, -height], [0.6 * mouth, -height - 0.2], [0, -height - 0.25]])
    return [*strokes, Stroke(lid, part=2), Stroke(ellipse([0, -height - 0.3], 0.1, 0.1), part=2)]


def lamp(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a lamp: a shade on a thin pole, or on a turned body, with a foot."""
    top, brim, shade = rng.uniform(0.2, 0.45), rng.uniform(0.5, 0.8), rng.uniform(0.5, 0.9)
    foot, floor = rng.uniform(0.25, 0.5), rng.uniform(1.0, 2.4)
    cover = Stroke(np.array([[-top, -shade], [top, -shade], [brim, 0], [-brim, 0]]))
    base = Stroke(profile([[0, floor - 0.15], [0.7 * foot, floor - 0.1], [foot, floor]]), part=1)
    if rng.random() < 0.6:
        return [Stroke(np.array([[0, -0.1], [0, floor]]), thin, part=1), base, cover]
    belly, y = rng.uniform(0.15, 0.35), rng.uniform(0.3, 0.7) * floor
    turned = profile([[0.08, -0.1], [0.08, 0.15], [belly, y], [0.12, floor - 0.2], [foot, floor]])
    return [Stroke(turned, part=1), base, cover]
