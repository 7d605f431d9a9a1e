"""Animals and people: bodies of several smooth blobs, with limbs."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from hqsam_lightning.data.scenes.strokes import Stroke, circle, contour, curl, ellipse, smooth, taper


def creature(rng: Generator, thin: float) -> list[Stroke]:
    """Draws an insect from above: a blob with jointed limbs and curled antennae."""
    strokes = []
    for side in (-1, 1):
        for x in np.linspace(-0.7, 0.7, int(rng.integers(2, 5))):
            knee = [rng.normal(1.5 * x, 0.1), side * rng.uniform(0.9, 1.2)]
            foot = [rng.normal(1.7 * x, 0.12), side * rng.uniform(1.3, 1.8)]
            strokes.append(Stroke(np.array([[0.6 * x, 0], knee, foot]), thin, part=1))
        feeler = curl(rng, np.array([0.3, 0]), side * rng.uniform(0.1, 0.6), rng.uniform(1.2, 2.0))
        strokes.append(Stroke(feeler, max(2, 0.5 * thin), part=1))
    return [*strokes, Stroke(contour(rng, 0.2) * [1.0, rng.uniform(0.4, 0.8)])]


def bird(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a bird from the side, from sparrow to heron: it stands, swims or flies."""
    plump, neck, pose = rng.uniform(0.28, 0.5), rng.uniform(0.0, 0.9) ** 2, rng.random()
    head = np.array([rng.uniform(0.55, 0.9), -0.25 - 0.5 * plump - neck])
    size, beak = rng.uniform(0.16, 0.26), rng.uniform(0.15, 0.5)
    stem = np.array([-0.65 - rng.uniform(0.1, 0.8), rng.uniform(-0.3, 0.35)])
    tail = np.concatenate([[[-0.4, 0.25], [-0.45, -0.05]], stem - [[0, 0.07], [-0.03, -0.07]]])
    bill = head + size * np.array([[0.5, -0.6], [1, 0], [0.5, 0.5]]) + [[0, 0], [beak, 0.1 * beak], [0, 0]]
    if pose < 0.7:
        wing = smooth([[0.35, -0.1], [0.0, 0.3 * plump], [-0.6, 0.15], [-0.2, -0.5 * plump]], closed=True)
    else:  # raised in flight
        tip = np.array([rng.uniform(-0.8, 0.1), -rng.uniform(0.9, 1.5)])
        wing = smooth(
            [
                [0.3, -0.05],
                [-0.1, 0.15],
                [-0.45, -0.1],
                np.add(0.6 * tip, [-0.3, 0]),
                tip,
                np.add(0.6 * tip, [0.25, 0]),
            ],
            True,
        )
    return [
        *(_bird_legs(rng, plump, thin) if pose < 0.5 else []),
        Stroke(tail, part=3),
        Stroke(taper([[-0.6, 0.1], [0, 0.05], [0.4, -0.1]], [0.12, plump, 0.75 * plump])),
        Stroke(taper([[0.35, -0.1], [0.55, -0.2 - 0.4 * neck], head], [0.7 * plump, 0.7 * size, 0.8 * size])),
        Stroke(bill, part=1),
        Stroke(ellipse(head, size, 0.9 * size)),
        Stroke(ellipse(np.add(head, [0.3 * size, -0.15 * size]), 0.04, 0.04), part=2),
        Stroke(wing, part=3),
    ]


def _bird_legs(rng: Generator, plump: float, thin: float) -> list[Stroke]:
    stilt, legs = rng.uniform(0.15, 0.8), []
    for x in (-0.02, 0.2):
        foot = np.array([x + rng.normal(0, 0.08), plump + stilt])
        legs.append(Stroke(np.array([[x, 0.6 * plump], [x - 0.06, plump + 0.5 * stilt], foot]), thin, part=1))
        legs.append(Stroke(np.add(foot, [[-0.1, 0], [0.2, 0.02]]), thin, part=1))
    return legs


def fish(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a fish from the side, from eel-like to round."""
    height, bend, fork = rng.uniform(0.2, 0.65), rng.normal(0, 0.08), rng.uniform(0.3, 0.6)
    tail = [[-0.6, 0], [-1.3, -fork], [-rng.uniform(0.95, 1.3), rng.normal(0, 0.05)], [-1.3, fork]]
    back = [[-0.5, 0], [-0.4, -height - 0.1], [rng.uniform(0, 0.5), -height - rng.uniform(0.1, 0.4)], [0.5, 0]]
    belly = [[-0.5, 0], [-0.45, height + rng.uniform(0, 0.3)], [0.0, 0.7 * height]]
    body = taper([[-0.75, 0], [-0.2, bend], [0.45, bend], [0.9, 0]], [0.08, 0.9 * height, 0.85 * height, 0.12])
    fin = ellipse([0.1, 0.3 * height], 0.22, 0.09, rng.uniform(0.2, 0.8))
    fins = [Stroke(np.array(points), part=1) for points in (tail, back, belly)]
    eye = ellipse([0.65, bend - 0.25 * height], 0.06, 0.06)
    return [*fins, Stroke(body), Stroke(fin, part=1), Stroke(eye, part=2)]


def quadruped(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a four-legged animal from the side, from dachshund to giraffe and elephant."""
    girth, stilt, leg = rng.uniform(0.22, 0.45), rng.uniform(0.3, 0.85), rng.uniform(0.05, 0.16)
    rise, reach, skull = rng.uniform(0.25, 0.75), rng.uniform(0.2, 0.4), rng.uniform(0.15, 0.24)
    head, floor = np.array([0.65 + reach, -rise]), girth + stilt
    far: list[Stroke] = []
    near: list[Stroke] = []
    for legs, part, shift in ((far, 1, 0.12), (near, 0, 0.0)):
        for x, knee in ((-0.6, -0.08), (0.6, 0.06)):
            step = rng.normal(0, 0.12) + shift
            joints = [[x + shift / 2, 0.1], [x + step + knee, 0.5 * (girth + floor)], [x + step, floor - leg]]
            legs.append(Stroke(taper(joints, [2.2 * leg, leg, 0.8 * leg]), part=part))
    muzzle = np.add(head, [skull + rng.uniform(0.1, 0.3), rng.uniform(0.0, 0.2)])
    return [
        *far,
        _tail(rng, girth, thin),
        *_ears(rng, head, skull, thin),
        Stroke(taper([[-0.6, 0], [0, rng.normal(0.03, 0.04)], [0.6, -0.02]], [girth, 0.9 * girth, 1.05 * girth])),
        *near,
        Stroke(taper([[0.5, -0.1], [0.6 + 0.3 * reach, -0.4 * rise], head], [0.9 * girth, 0.8 * skull, 0.7 * skull])),
        Stroke(taper([head, (head + muzzle) / 2, muzzle], [skull, 0.8 * skull, 0.5 * skull])),
        Stroke(ellipse(np.add(head, [0.05, -0.25 * skull]), 0.03, 0.03), part=2),
    ]


def _tail(rng: Generator, girth: float, thin: float) -> Stroke:
    path = curl(rng, np.array([-0.75, -0.4 * girth]), np.pi + rng.uniform(-1.0, 0.9), rng.uniform(0.3, 0.9))
    if rng.random() < 0.5:
        return Stroke(path, max(2, 0.8 * thin))
    return Stroke(taper(path[::2], [0.06, 0.08, 0.09, 0.08, 0.03]))


def _ears(rng: Generator, head: np.ndarray, skull: float, thin: float) -> list[Stroke]:
    """Draws pointed ears, hanging ears or horns."""
    kind, length = rng.integers(3), rng.uniform(0.15, 0.4)
    if kind == 0:
        root, tips = [[-0.7 * skull, 0], [0.3 * skull, 0]], [[-0.12, -skull - length], [0.08, -skull - length]]
        return [Stroke(np.add(head, [*root, tip]), part=1) for tip in tips]
    if kind == 1:
        return [
            Stroke(
                ellipse(np.subtract(head, [skull, 0.3 * skull]), 0.35 * skull + 0.2 * length, 0.6 * skull, 0.5), part=1
            )
        ]
    return [Stroke(curl(rng, head, angle, skull + 1.5 * length), thin, part=1) for angle in (-2.2, -1.7)]


def butterfly(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a butterfly with open wings, spots and antennae."""
    fore = [[0, -0.1], rng.normal([0.5, -0.75], 0.06), rng.normal([1.05, -0.85], 0.1), rng.normal([0.75, -0.1], 0.06)]
    hind = [[0, 0], rng.normal([0.6, 0.0], 0.05), rng.normal([0.75, 0.5], 0.1), rng.normal([0.3, 0.7], 0.08)]
    spot = rng.uniform(0.1, 0.2)
    right = [
        Stroke(smooth(np.array(hind), closed=True), part=1),
        Stroke(smooth(np.array(fore), closed=True)),
        Stroke(ellipse([0.75, -0.55], spot, 0.8 * spot), part=2),
        Stroke(ellipse([0.5, 0.35], 0.7 * spot, 0.8 * spot), part=2),
        Stroke(
            curl(rng, np.array([0.02, -0.35]), rng.uniform(-1.3, -1.0), rng.uniform(0.4, 0.8)),
            max(2, 0.5 * thin),
            part=3,
        ),
    ]
    left = [stroke._replace(points=stroke.points * [-1, 1]) for stroke in right]
    return [*left, *right, Stroke(taper([[0, -0.4], [0, 0], [0, 0.6]], [0.07, 0.09, 0.04]), part=3)]


def person(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a person who stands, walks or waves, in trousers or a skirt."""
    broad, slim, head = rng.uniform(0.26, 0.36), rng.uniform(0.07, 0.11), rng.uniform(0.17, 0.22)
    limbs = []
    for side in (-1, 1):
        arm = _jointed(rng, [side * broad, -0.45], np.pi / 2 - side * rng.uniform(-0.2, 2.2), 0.42, 0.6)
        limbs.append(Stroke(taper(arm, [slim, 0.85 * slim, 0.7 * slim]), part=int(rng.integers(2)) * 2))
        leg = _jointed(rng, [side * 0.5 * broad, 0.4], np.pi / 2 - side * rng.uniform(0, 0.4), 0.55, 0.25)
        limbs.append(Stroke(taper(leg, [1.5 * slim, 1.1 * slim, 0.8 * slim]), part=1))
        limbs.append(Stroke(ellipse(np.add(leg[-1], [0.06 * side, 0.02]), 0.15, 0.07), part=1))
    waist, hem = rng.uniform(0.6, 0.9) * broad, rng.uniform(0.9, 2.0) * broad
    torso = smooth([[broad + 0.03, -0.5], [waist, 0.1], [broad, 0.5]])
    shirt = [Stroke(np.concatenate([[[0.1, -0.6]], torso, torso[::-1] * [-1, 1], [[-0.1, -0.6]]]))]
    if rng.random() < 0.35:
        shirt.append(Stroke(np.array([[-waist, 0.1], [waist, 0.1], [hem, 0.85], [-hem, 0.85]]), part=1))
    neck = Stroke(taper([[0, -0.5], [0, -0.75]], [0.09, 0.09]), part=2)
    return [*limbs, *shirt, neck, Stroke(ellipse([rng.normal(0, 0.03), -0.68 - head], 0.85 * head, head), part=2)]


def _jointed(rng: Generator, start: list[float], angle: float, length: float, bend: float) -> np.ndarray:
    """Returns start, joint and end of a limb of two parts, (3, 2)."""
    steps = length * circle(angle + np.array([0, rng.uniform(-bend, bend)]))
    return np.cumsum([start, *steps], 0)
