"""Objects placed in a frame: a family's strokes become an exact anti-aliased alpha and layers of parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.random import Generator

from hqsam_lightning.data.scenes.families import Family, blob, draw_family
from hqsam_lightning.data.scenes.strokes import Stroke, circle
from hqsam_lightning.shapes import is_thin, thinness
from hqsam_lightning.types import OBJECT_THRESHOLD

SUPERSAMPLE = 4
MIN_OBJECT_PIXELS = 150  # of a 256 px frame
MIN_SMALL_PIXELS = 40  # the same where small objects are asked for
MIN_VISIBLE = 0.6  # share of an object that others may not hide
TRIES = 6  # drawings of an object before it is dropped
THIN = (3.0, 7.0)  # px of a 256 px frame: smallest and largest width of thin parts, for a frame-filling object


@dataclass
class DrawnObject:
    """An object in the frame.

    Attributes:
        alpha: (size, size, 1) float32 in [0, 1], the share of each pixel that the object covers.
        parts: (size, size, 1) alphas of its parts beyond the body, in the order they are painted; what of them lies
            outside `alpha` is not painted.
        extent: longer side as a share of the frame's.
        pixels: (size, size, 3) float32 colours in [0, 255] of a cut-out; None for an object that is painted.
    """

    alpha: np.ndarray
    parts: list[np.ndarray]
    extent: float
    pixels: np.ndarray | None = None

    @cached_property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns that hold all of the object; empty slices where the frame holds nothing of it."""
        x, y, width, height = cv2.boundingRect((self.alpha > 0).astype(np.uint8))
        return slice(y, y + height), slice(x, x + width)


Draw = Callable[[Generator, int, float], DrawnObject]
"""Draws an object: of a random generator, the frame's side, and the object's longer side as a share of it."""


def draw_object(rng: Generator, size: int, extent: float, family: Family | None = None) -> DrawnObject:
    """Draws an object at a random place and angle; the frame may cut a little off, of a small thin one even all.

    Args:
        rng: everything follows from it.
        size: side of the frame in pixels.
        extent: the object's longer side as a share of the frame's.
        family: drawn by weight where None.
    """
    thin = rng.uniform(THIN[0], THIN[0] + (THIN[1] - THIN[0]) * extent)
    strokes = draw_family(rng, thin) if family is None else family(rng, thin)
    placed = _place(rng, strokes, extent)
    alpha = _rasterise(strokes, placed, size)
    numbers = sorted({stroke.part for stroke in strokes if stroke.part})
    return DrawnObject(alpha, [_part_layer(strokes, placed, size, number) for number in numbers], extent)


def place_objects(
    rng: Generator,
    size: int,
    wanted: int,
    thin_objects: bool = True,
    draw: Draw | None = None,
    smallest: float | None = None,
) -> tuple[list[DrawnObject], list[np.ndarray]]:
    """Draws up to `wanted` objects, at least one; later ones hide earlier ones, but no one mostly.

    Args:
        rng: everything follows from it.
        size: side of the frame in pixels.
        wanted: objects to draw; fewer remain where one is dropped after `TRIES` drawings.
        thin_objects: whether objects may be thin, by `is_thin` of what is visible of them.
        draw: draws each; `draw_object` where None.
        smallest: extent of the smallest objects; all but the first are drawn log-uniformly between it and 0.7. None
            draws them uniformly between 0.2 and 0.7.

    Returns:
        The objects and the visible alpha of each, (size, size, 1) float32.
    """
    objects: list[DrawnObject] = []
    visible: list[np.ndarray] = []
    least = (MIN_OBJECT_PIXELS if smallest is None else MIN_SMALL_PIXELS) * (size / 256) ** 2
    for index in range(wanted):
        for _ in range(TRIES):
            candidate = (draw or draw_object)(rng, size, _draw_extent(rng, index == 0, smallest))
            now = [*(alpha * (1 - candidate.alpha) for alpha in visible), candidate.alpha]
            any_thin = not thin_objects and any(is_thin(thinness(each[..., 0] > OBJECT_THRESHOLD)) for each in now)
            if not any_thin and _all_visible([*objects, candidate], now, least):
                objects, visible = [*objects, candidate], now
                break
    if not objects:  # every try was too thin; a blob never is
        objects = [draw_object(rng, size, 0.6, blob)]
        visible = [objects[0].alpha]
    return objects, visible


def _draw_extent(rng: Generator, first: bool, smallest: float | None) -> float:
    if first:
        return rng.uniform(0.45, 1.0)
    return rng.uniform(0.2, 0.7) if smallest is None else float(np.exp(rng.uniform(np.log(smallest), np.log(0.7))))


def _all_visible(objects: list[DrawnObject], visible: list[np.ndarray], least: float) -> bool:
    return all(
        (alpha > OBJECT_THRESHOLD).sum() >= least and alpha.sum() >= MIN_VISIBLE * drawn.alpha.sum()
        for drawn, alpha in zip(objects, visible, strict=True)
    )


def _place(rng: Generator, strokes: list[Stroke], extent: float) -> list[np.ndarray]:
    """Turns, squeezes, scales and shifts the strokes' points into the unit frame."""
    angle = rng.normal(0, 0.35) if rng.random() < 0.7 else rng.uniform(0, 2 * np.pi)
    (cos, sin), squeeze = circle(np.array([angle]))[0], rng.uniform(0.7, 1)
    mirror = rng.choice([-1, 1])
    turned = [stroke.points * [mirror, squeeze] @ np.array([[cos, sin], [-sin, cos]]) for stroke in strokes]
    low, high = np.concatenate(turned).min(0), np.concatenate(turned).max(0)
    scale = extent / (high - low).max()
    reach = np.maximum(0.52 - (high - low) * scale / 2, 0)
    offset = 0.5 + rng.uniform(-reach, reach) - (low + high) / 2 * scale
    return [points * scale + offset for points in turned]


def _rasterise(strokes: list[Stroke], placed: list[np.ndarray], size: int) -> np.ndarray:
    fine = size * SUPERSAMPLE
    canvas = np.zeros((fine, fine), np.uint8)
    for stroke, points in zip(strokes, placed, strict=True):
        _ink(canvas, stroke, points, 255 if stroke.ink else 0)
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)[..., None] / 255


def _part_layer(strokes: list[Stroke], placed: list[np.ndarray], size: int, number: int) -> np.ndarray:
    canvas = np.zeros((size, size), np.uint8)
    for stroke, points in zip(strokes, placed, strict=True):
        if stroke.ink:
            _ink(canvas, stroke, points, 255 if stroke.part == number else 0, cv2.LINE_AA)
    return canvas.astype(np.float32)[..., None] / 255


def _ink(canvas: np.ndarray, stroke: Stroke, points: np.ndarray, value: int, line: int = cv2.LINE_8) -> None:
    side = canvas.shape[0]
    xy = np.round(points * side).astype(np.int32)
    if stroke.width:
        cv2.polylines(canvas, [xy], False, value, max(1, round(stroke.width * side / 256)), line)
    else:
        cv2.fillPoly(canvas, [xy], value, line)
