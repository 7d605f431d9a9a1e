"""Procedural scenes with exact masks: objects with thin parts before cluttered backgrounds, made without any file.

Lengths in px are pixels of a 256 px frame; they grow with the image size. A family of objects is a function that gives
strokes in any frame it likes; `_rasterize` scales, turns and places them. To add one, write it and list it in FAMILIES.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

from hqsam_lightning.errors import ConfigError, choice_error
from hqsam_lightning.types import Sample

SPLITS = ("train", "val")
MIN_IMAGE_SIZE = 64
MIN_OBJECT_PIXELS = 150  # of a 256 px frame
SUPERSAMPLE = 4
TRIES = 5  # drawings of an object before it is dropped; the last is a solid blob


class Stroke(NamedTuple):
    """A polyline `width` px wide, or a filled polygon (0), of an object; `ink` False cuts a hole in earlier strokes."""

    points: np.ndarray  # (n, 2), x and y in the family's own frame
    width: float = 0.0
    ink: bool = True


def _circle(angles: np.ndarray) -> np.ndarray:
    """Gives the unit vectors (n, 2) of n angles."""
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def _contour(rng: Generator, roughness: float) -> np.ndarray:
    """Gives a closed smooth curve, (64, 2): a unit circle whose radius a few harmonics modulate."""
    angles, order = np.linspace(0, 2 * np.pi, 64, endpoint=False), np.arange(2, 6)[:, None]
    waves = np.cos(order * angles + rng.uniform(0, 2 * np.pi, (4, 1))) * rng.normal(0, roughness, (4, 1)) / order
    return np.clip(1 + waves.sum(0), 0.3, 2)[:, None] * _circle(angles)


def _curl(rng: Generator, start: np.ndarray, angle: float, length: float) -> np.ndarray:
    """Gives a curve of 8 steps, (9, 2), that leaves `start` at `angle` and turns a little on its way."""
    steps = _circle(angle + np.linspace(0, 1, 8) * rng.normal(0, 0.7)) * length / 8
    return np.concatenate([start[None], start + np.cumsum(steps, 0)])


def _mesh(grid: np.ndarray, thin: float, border: float) -> list[Stroke]:
    """Draws the lines of a (rows, columns, 2) grid, `thin` px wide, the first and last column `border` px."""
    lines = [Stroke(line, thin) for line in (*grid, *grid.transpose(1, 0, 2))]
    return [*lines, Stroke(grid[:, 0], border), Stroke(grid[:, -1], border)]


def blob(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a solid smooth blob."""
    return [Stroke(_contour(rng, 0.35))]


def polygon(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a solid irregular polygon or star."""
    corners = int(rng.integers(3, 12))
    angles = (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) * 2 * np.pi / corners
    return [Stroke(rng.uniform(0.45, 1, (corners, 1)) * _circle(angles))]


def creature(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a blob with jointed limbs and curled antennae."""
    strokes = [Stroke(_contour(rng, 0.2) * [1.0, rng.uniform(0.4, 0.8)])]
    for side in (-1, 1):
        for x in np.linspace(-0.7, 0.7, int(rng.integers(2, 5))):
            knee = [rng.normal(1.5 * x, 0.1), side * rng.uniform(0.9, 1.2)]
            foot = [rng.normal(1.7 * x, 0.12), side * rng.uniform(1.3, 1.8)]
            strokes.append(Stroke(np.array([[x, 0], knee, foot]), thin))
        strokes.append(Stroke(_curl(rng, np.array([0.8, 0]), side * rng.uniform(0.1, 0.6), rng.uniform(0.8, 1.6)), 2))
    return strokes


def tree(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a trunk that branches and thins."""
    strokes: list[Stroke] = []
    tips, depth = [(np.zeros(2), 0.0, 1.0)], int(rng.integers(3, 5))
    for level in range(depth):
        starts, tips = tips, []
        for start, angle, length in starts:
            branch = _curl(rng, start, angle, length)
            strokes.append(Stroke(branch, 2 + (2 * thin - 2) * (1 - level / (depth - 1)) ** 2))
            for turn in np.linspace(-0.6, 0.6, int(rng.integers(2, 4))) + rng.normal(0, 0.15):
                tips.append((branch[-1], angle + turn, length * rng.uniform(0.6, 0.85)))
    return strokes


def wheel(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a rim, a hub and spokes."""
    rim, hub = _contour(rng, 0), _contour(rng, 0) * rng.uniform(0.1, 0.3)
    ends = rim[np.linspace(0, 64, int(rng.integers(4, 13)), endpoint=False).astype(int)]
    spokes = [Stroke(np.stack([np.zeros(2), end]), max(2, 0.7 * thin)) for end in ends]
    return [*spokes, Stroke(np.concatenate([rim, rim[:1]]), thin * rng.uniform(1, 2)), Stroke(hub)]


def ladder(rng: Generator, thin: float) -> list[Stroke]:
    """Draws rungs between two rails that lean together."""
    x, y = np.meshgrid([-1, 1], np.linspace(-1, 1, rng.integers(4, 9)))
    width = rng.uniform(0.25, 0.45) + rng.uniform(0, 0.15) * y
    return _mesh(np.stack([x * width, y], 2), thin, min(5, 1.3 * thin))


def comb(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a bar with teeth of uneven length, on one side or both."""
    bar, sides = np.array([[-1, -0.1], [1, -0.1], [1, 0.12], [-1, 0.12]]), (1, -1) if rng.random() < 0.3 else (1,)
    teeth = [(x, side * rng.uniform(0.7, 1)) for side in sides for x in np.linspace(-0.97, 0.97, rng.integers(6, 13))]
    return [Stroke(bar), *(Stroke(np.array([[x, 0], [x, y]]), max(2, 0.75 * thin)) for x, y in teeth)]


def net(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a warped mesh."""
    x, y = np.meshgrid(np.linspace(-1, 1, rng.integers(4, 8)), np.linspace(-1, 1, rng.integers(4, 8)))
    phase, bend = rng.uniform(0, 2 * np.pi, 2), rng.uniform(0, 0.2, 2)
    return _mesh(np.stack([x + bend[0] * np.sin(2 * y + phase[0]), y + bend[1] * np.sin(2 * x + phase[1])], 2), 2, thin)


def ring(rng: Generator, thin: float) -> list[Stroke]:
    """Draws a blob with one wide hole, or with several small ones."""
    outer = _contour(rng, 0.2)
    if rng.random() < 0.5:
        return [Stroke(outer), Stroke(outer * rng.uniform(0.55, 0.85), ink=False)]
    centers = 0.5 * _circle(np.arange(rng.integers(2, 6)) * 2 * np.pi / 5)
    return [Stroke(outer), *(Stroke(_contour(rng, 0.2) * rng.uniform(0.1, 0.24) + c, ink=False) for c in centers)]


Family = Callable[[Generator, float], list[Stroke]]  # (rng, width of thin parts in px) -> strokes
FAMILIES: tuple[Family, ...] = (blob, polygon, creature, tree, wheel, ladder, comb, net, ring)


def _rasterize(rng: Generator, size: int, extent: float, families: tuple[Family, ...] = FAMILIES) -> np.ndarray:
    """Draws an object whose longer side is `extent` of the frame's: (size, size, 1) float32 alpha in [0, 1]."""
    strokes = families[rng.integers(len(families))](rng, rng.uniform(2, 2 + 3 * extent))
    (cos, sin), squeeze = _circle(rng.uniform(0, 2 * np.pi, 1))[0], rng.uniform(0.65, 1)
    turned = [stroke.points * [1, squeeze] @ np.array([[cos, sin], [-sin, cos]]) for stroke in strokes]
    low, high = np.concatenate(turned).min(0), np.concatenate(turned).max(0)
    scale = extent / (high - low).max()
    reach = np.maximum(0.55 - (high - low) * scale / 2, 0)  # the frame may cut a little off
    offset = 0.5 + rng.uniform(-reach, reach) - (low + high) / 2 * scale
    fine = size * SUPERSAMPLE
    canvas = np.zeros((fine, fine), np.uint8)
    for stroke, points in zip(strokes, turned, strict=True):
        xy = np.round((points * scale + offset) * fine).astype(np.int32)
        if stroke.width:
            cv2.polylines(canvas, [xy], False, 255, max(1, round(stroke.width * fine / 256)))
        else:
            cv2.fillPoly(canvas, [xy], 255 if stroke.ink else 0)
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)[..., None] / 255


def _object_masks(rng: Generator, size: int, wanted: int) -> list[np.ndarray]:
    """Draws up to `wanted` objects, at least one; later ones hide earlier ones. Each is (size, size, 1)."""
    masks: list[np.ndarray] = []
    for _ in range(wanted):
        for attempt in range(TRIES):
            alpha = _rasterize(rng, size, rng.uniform(0.3, 0.9), FAMILIES if attempt < TRIES - 1 else (blob,))
            drawn = [*(mask * (1 - alpha) for mask in masks), alpha]
            if all((mask > 128 / 255).sum() >= MIN_OBJECT_PIXELS * (size / 256) ** 2 for mask in drawn):
                masks = drawn
                break
    return masks


def _noise(rng: Generator, size: int, cells: int, falloff: float) -> np.ndarray:
    """Gives colour noise, (size, size, 3) float32: octaves from `cells` a side up, each `falloff` times the last."""
    total, weight = np.zeros((size, size, 3), np.float32), 1.0
    while cells <= size // 2:
        octave = rng.standard_normal((cells, cells, 3), np.float32) * np.float32(weight)
        total += cv2.resize(0.4 * octave + octave[..., :1], (size, size))  # brightness varies more than hue
        weight, cells = weight * falloff, cells * 2
    return total


def _background(rng: Generator, size: int) -> np.ndarray:
    """Paints a gradient, noise and low-contrast clutter, (size, size, 3) float32 around [0, 255]."""
    corners = (rng.uniform(40, 215) + rng.normal(0, 35, 3) + rng.normal(0, 25, (2, 2, 3))).astype(np.float32)
    image = cv2.resize(corners, (size, size)) + rng.uniform(4, 18) * _noise(rng, size, 4, rng.uniform(0.4, 0.8))
    for _ in range(rng.integers(3, 8)):
        image += _rasterize(rng, size, rng.uniform(0.1, 0.7)) * rng.normal(0, 13, 3).astype(np.float32)
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.5) * size / 256)


def _render(rng: Generator, size: int, masks: list[np.ndarray]) -> np.ndarray:
    """Paints background, small distractors in the objects' colours, then the objects: (size, size, 3) uint8."""
    image, taken = _background(rng, size), np.sum(masks, 0)
    colors = []
    for mask in masks:  # objects differ visibly, but not always strongly, from what they hide
        choices, behind = rng.uniform(15, 240, (16, 3)).astype(np.float32), (image * mask).sum((0, 1)) / mask.sum()
        colors.append(choices[np.abs(np.linalg.norm(choices - behind, axis=1) - rng.uniform(60, 160)).argmin()])
    for color in [color for color in colors for _ in range(rng.integers(1, 4))]:
        alpha = _rasterize(rng, size, rng.uniform(0.04, 0.12))
        if not (alpha * taken).any():  # an object has no part outside its mask
            image += alpha * (color - image)
    image *= 1 - taken
    for color, mask in zip(colors, masks, strict=True):
        shade = cv2.resize(rng.uniform(0.65, 1.3, (2, 2)).astype(np.float32), (size, size))[..., None]
        image += mask * (color * shade + rng.uniform(4, 18) * _noise(rng, size, 8, rng.uniform(0.5, 1)))
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


class SyntheticScenes:
    """Procedural scenes made on request; each follows from (seed, split, index) and these arguments alone.

    Args:
        size: number of scenes.
        image_size: side of the square photos.
        seed: another seed gives other scenes.
        split: ``"train"`` or ``"val"``; they share no scene.
        objects: least and most objects a scene; fewer remain where one would be hidden.
        name: name of the set, the first part of the sample ids.
    """

    def __init__(
        self,
        size: int,
        image_size: int = 256,
        seed: int = 0,
        split: str = "train",
        objects: tuple[int, int] | list[int] = (1, 2),
        name: str = "synthetic",
    ) -> None:
        for key, value, least in (("size", size, 1), ("image_size", image_size, MIN_IMAGE_SIZE), ("seed", seed, 0)):
            if not isinstance(value, int) or value < least:
                raise ConfigError(f"data.{key}: expected an integer >= {least}, got {value!r}; change it in the config")
        if split not in SPLITS:
            raise choice_error("data.split", split, SPLITS)
        pair = list(objects) if isinstance(objects, Sequence) else []
        if len(pair) != 2 or not all(isinstance(count, int) for count in pair) or not 1 <= pair[0] <= pair[1]:
            raise ConfigError(f"data.objects: expected [least, most], 1 <= least <= most, got {objects!r}; try [1, 2]")
        self.size, self.image_size, self.seed, self.split = size, image_size, seed, split
        self.objects, self.name = (pair[0], pair[1]), name

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.size:
            raise IndexError(f"expected an index from 0 to {self.size - 1} of {self.name}/{self.split}, got {index}")
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(SPLITS.index(self.split), index)))
        masks = _object_masks(rng, self.image_size, int(rng.integers(*self.objects, endpoint=True)))
        image = _render(rng, self.image_size, masks)
        return Sample(image, np.stack(masks)[..., 0], f"{self.name}/{self.split}/{index:06d}", self.name)
