"""Plants and what looks like them: trees, corals, leaves, flowers, mushrooms."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from hqsam_lightning.data.scenes.strokes import Stroke, circle, curl, curls, ellipse, profile, taper


def tree(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a bare tree: a trunk that branches and thins upwards."""
    strokes: list[Stroke] = []
    starts, angles, length, depth = np.zeros((1, 2)), np.array([-np.pi / 2]), 1.0, int(rng.integers(3, 5))
    for level in range(depth):
        branches = curls(rng, starts, angles, length * rng.uniform(0.8, 1.2, len(starts)))
        width = 2 + (2 * thin - 2) * (1 - level / (depth - 1)) ** 2
        strokes += [Stroke(branch, width) for branch in branches]
        forks = rng.integers(2, 4, len(starts))
        turns = np.concatenate([np.linspace(-0.6, 0.6, fork) for fork in forks])
        starts, angles = np.repeat(branches[:, -1], forks, 0), np.repeat(angles, forks) + rng.normal(turns, 0.15)
        length *= 0.72
    return strokes


def coral(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a coral: stubby, rounded branches that fork in two and stay thick."""
    arms, length = int(rng.integers(3, 6)), rng.uniform(0.4, 0.65)
    starts, angles = np.zeros((arms, 2)), rng.normal(np.linspace(-1.1, 1.1, arms) - np.pi / 2, 0.12)
    strokes = [Stroke(ellipse([0, 0], 0.25, 0.15))]
    for level in range(3):
        branches = curls(rng, starts, angles, length * 0.8**level * rng.uniform(0.7, 1.2, len(starts)))
        strokes += [Stroke(branch, max(3, (2.2 - 0.4 * level) * thin)) for branch in branches]
        turns = np.tile([-0.45, 0.45], len(starts)) * rng.uniform(0.6, 1.3, 2 * len(starts))
        starts, angles = np.repeat(branches[:, -1], 2, 0), np.repeat(angles, 2) + turns
    return strokes


def leaf(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a leaf with a serrated or lobed border, a midrib and a stem."""
    bend, width, peak = rng.normal(0, 0.2), rng.uniform(0.3, 0.75), rng.uniform(0.6, 1.1)
    way = np.linspace(0, 1, 97)
    spine = np.stack([bend * np.sin(np.pi * way), 1 - 2 * way], 1)
    if rng.random() < 0.6:  # teeth point to the tip
        teeth = rng.uniform(0.05, 0.14) * (way * rng.integers(8, 16) % 1)
    else:
        teeth = rng.uniform(0.1, 0.4) * np.cos(2 * np.pi * rng.integers(3, 6) * way)
    half = width * np.sin(np.pi * way**peak) * (1 - teeth)
    aside = np.stack([half, -0.5 * half * teeth], 1)
    blade = np.concatenate([spine + aside, (spine + aside * [-1, 1])[::-1]])
    stem = curl(rng, spine[0], np.pi / 2 + rng.normal(0, 0.2), rng.uniform(0.3, 0.7))
    veins = [
        Stroke(np.array([spine[at], spine[at + 10] + [side * 0.75 * half[at + 10], 0]]), max(2, 0.4 * thin), part=1)
        for at in range(14, 80, 14)
        for side in (-1, 1)
    ]
    return [Stroke(stem, thin, part=1), Stroke(blade), *veins, Stroke(spine[:90], max(2, 0.5 * thin), part=1)]


def flower(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a flower from the front: petals, a disc, a stem with leaves."""
    petals, long, slim = int(rng.integers(5, 14)), rng.uniform(0.7, 1.0), rng.uniform(0.7, 1.3)
    stem = curl(rng, np.zeros(2), np.pi / 2 + rng.normal(0, 0.2), rng.uniform(1.6, 2.6))
    strokes = [Stroke(stem, 1.3 * thin, part=1)]
    for side in rng.permutation([-1, 1])[: rng.integers(0, 3)]:
        foot = stem[rng.integers(4, 8)]
        tip = np.add(foot, [side * rng.uniform(0.5, 0.9), -rng.uniform(0.2, 0.6)])
        strokes.append(Stroke(taper([foot, 0.5 * foot + 0.5 * tip, tip], [0.03, 0.14, 0.02]), part=1))
    radius = slim * long * 2 / petals
    petal = taper([[0.1, 0], [0.65 * long, 0], [long, 0]], [0.05, radius, 0.5 * radius])
    for cos, sin in circle(rng.uniform(0, 6) + 2 * np.pi * np.arange(petals) / petals):
        strokes.append(Stroke(petal * rng.uniform(0.9, 1.05) @ np.array([[cos, sin], [-sin, cos]])))
    disc = rng.uniform(0.2, 0.38)
    return [*strokes, Stroke(ellipse([0, 0], disc, disc), part=2)]


def mushroom(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a mushroom: a domed cap with spots on a stalk."""
    dome, brim, foot = rng.uniform(0.5, 1.0), rng.uniform(0.0, 0.2), rng.uniform(0.12, 0.3)
    length, lean = rng.uniform(0.7, 1.3), rng.normal(0, 0.1)
    cap = profile([[0, -dome], [0.6, -0.8 * dome], [1, 0], [0.85, brim], [0, 0.3 * brim + 0.05]])
    stalk = taper([[0, -0.1], [lean, 0.5 * length], [lean, length]], [0.9 * foot, foot, rng.uniform(1, 1.6) * foot])
    spots = [
        Stroke(ellipse([x, -dome * rng.uniform(0.25, 0.6)], *rng.uniform(0.05, 0.13, 2)), part=2)
        for x in np.linspace(-0.55, 0.55, int(rng.integers(2, 6)))
    ]
    return [Stroke(stalk, part=1), Stroke(cap), *(spots if rng.random() < 0.6 else [])]
