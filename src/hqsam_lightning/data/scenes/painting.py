"""Paints a scene: background, clutter, distractors and shaded objects, blended by their exact alphas."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from hqsam_lightning.data.scenes.cutouts import Backgrounds
from hqsam_lightning.data.scenes.drawing import DrawnObject, draw_object
from hqsam_lightning.data.scenes.textures import texture

COLOUR_CANDIDATES = 16


def paint_scene(
    rng: Generator, size: int, objects: list[DrawnObject], backgrounds: Backgrounds | None = None
) -> np.ndarray:
    """Paints the objects in order, later over earlier, before a background.

    Args:
        rng: everything follows from it.
        size: side of the frame in pixels.
        objects: placed in the frame.
        backgrounds: photographs, which some of the scenes have in place of a texture.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    photo = None if backgrounds is None else backgrounds(rng, size)
    image = _background(rng, size) if photo is None else photo
    light = rng.uniform(0, 2 * np.pi)
    colours = [_colour_unlike(rng, _behind(image, drawn)) for drawn in objects]
    _paint_distractors(rng, image, objects, colours, light)
    for drawn, colour in zip(objects, colours, strict=True):
        _cast_shadow(rng, image, drawn, light)
        if drawn.pixels is None:
            _blend(image, drawn, drawn.alpha, _surface(rng, drawn, colour, light))
        else:
            _blend(image, drawn, *_cutout_surface(rng, drawn, drawn.pixels, _behind(image, drawn), light))
    return _photographed(rng, image)


def _background(rng: Generator, size: int) -> np.ndarray:
    """A texture with low-contrast clutter, often out of focus: (size, size, 3) float32 around [0, 255]."""
    tint = _float32(rng.uniform(40, 215) + rng.normal(0, 30, 3))
    image = tint + np.float32(rng.uniform(6, 50)) * texture(rng, size)
    for _ in range(rng.integers(0, 5)):
        drawn = draw_object(rng, size, rng.uniform(0.15, 0.9))
        _blend(image, drawn, drawn.alpha * np.float32(rng.uniform(0.3, 1)), image[drawn.window] + _shift(rng, 22))
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 3) * size / 256)


def _behind(image: np.ndarray, drawn: DrawnObject) -> np.ndarray:
    """Mean colour (3,) of what an object will hide."""
    alpha = drawn.alpha[drawn.window]
    return (image[drawn.window] * alpha).sum((0, 1)) / alpha.sum()


def _colour_unlike(rng: Generator, behind: np.ndarray) -> np.ndarray:
    """Picks a colour (3,) at a drawn distance from another: visibly, but not always strongly different."""
    choices = rng.uniform(10, 245, (COLOUR_CANDIDATES, 3))
    return _float32(choices[np.abs(np.linalg.norm(choices - behind, axis=1) - rng.uniform(50, 190)).argmin()])


def _surface(rng: Generator, drawn: DrawnObject, colour: np.ndarray, light: float) -> np.ndarray:
    """Paints the body and its parts over the object's window: own colours or shades of the body's, textured and lit."""
    surface = colour + _texture(rng, drawn, 40)
    for part in drawn.parts:
        if rng.random() < 0.7:
            tone = _float32(rng.uniform(10, 245, 3)) if rng.random() < 0.4 else colour + _shift(rng, 25)
            surface += part[drawn.window] * (tone + _texture(rng, drawn, 25) - surface)
    return surface * _lighting(rng, drawn, light)


def _cutout_surface(
    rng: Generator, drawn: DrawnObject, pixels: np.ndarray, behind: np.ndarray, light: float
) -> tuple[np.ndarray, np.ndarray]:
    """Shows a cut-out in another light, nearer to the colours behind it, with some texture and a soft border.

    Returns:
        The alpha (size, size, 1) to blend with, and the surface over the object's window.
    """
    surface = pixels[drawn.window]
    mixing = np.eye(3) * rng.uniform(0.6, 1.2) + rng.normal(0, 0.08, (3, 3))
    surface = cv2.transform(np.ascontiguousarray(surface), mixing.astype(np.float32)) + _shift(rng, 12)
    alpha = drawn.alpha[drawn.window]
    mean = (surface * alpha).sum((0, 1)) / alpha.sum()
    surface = surface + np.float32(rng.uniform(0, 0.5)) * (behind - mean)
    if rng.random() < 0.5:
        surface = surface + _texture(rng, drawn, 25)
    soft = cv2.GaussianBlur(drawn.alpha, (0, 0), rng.uniform(0.2, 1.0) * len(drawn.alpha) / 256)
    return soft[..., None], surface * _lighting(rng, drawn, light)


def _texture(rng: Generator, drawn: DrawnObject, strongest: float) -> np.ndarray:
    height, width = drawn.alpha[drawn.window].shape[:2]
    return np.float32(rng.uniform(3, strongest)) * texture(rng, max(height, width, 16))[:height, :width]


def _lighting(rng: Generator, drawn: DrawnObject, light: float) -> np.ndarray:
    """Shades an object as if it were rounded, lit from `light`: factors around 1 over its window."""
    alpha = drawn.alpha[drawn.window]
    reach = drawn.extent * len(drawn.alpha)
    height = cv2.GaussianBlur(alpha, (0, 0), max(1.0, 0.05 * reach), borderType=cv2.BORDER_CONSTANT)
    slope = np.cos(light) * cv2.Scharr(height, -1, 1, 0, scale=1 / 32)
    slope += np.sin(light) * cv2.Scharr(height, -1, 0, 1, scale=1 / 32)
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in alpha.shape[:2])
    ramp = np.float32(rng.normal(0, 0.12)) * columns[None] + np.float32(rng.normal(0, 0.12)) * rows[:, None]
    return np.clip(1 + np.float32(reach * rng.uniform(0, 0.12)) * slope + ramp, 0.3, 1.8)[..., None]


def _cast_shadow(rng: Generator, image: np.ndarray, drawn: DrawnObject, light: float) -> None:
    """Darkens what lies on the side of an object that is away from the light; in half of the cases nothing."""
    strength = rng.uniform(-0.5, 0.5)
    if strength <= 0:
        return
    distance = rng.uniform(0.01, 0.08) * len(image) * drawn.extent
    shift = np.array([[1, 0, distance * np.cos(light)], [0, 1, distance * np.sin(light)]], np.float32)
    moved = cv2.warpAffine(drawn.alpha, shift, image.shape[:2])
    image *= 1 - np.float32(strength) * cv2.GaussianBlur(moved, (0, 0), 0.5 + distance / 2)[..., None]


def _paint_distractors(
    rng: Generator, image: np.ndarray, objects: list[DrawnObject], colours: list[np.ndarray], light: float
) -> None:
    """Paints small objects of the same families and colours that touch no object: an object lies in its mask alone.

    One that is thin and at the border may lie outside the frame as a whole; then there is nothing to paint.
    """
    taken = np.max([drawn.alpha for drawn in objects], 0)
    for colour in (colour for colour in colours for _ in range(rng.integers(0, 3))):
        drawn = draw_object(rng, len(image), rng.uniform(0.05, 0.2))
        alpha = drawn.alpha[drawn.window]
        if alpha.any() and not (alpha * taken[drawn.window]).any():
            _blend(image, drawn, drawn.alpha, (colour + _shift(rng, 15)) * _lighting(rng, drawn, light))


def _photographed(rng: Generator, image: np.ndarray) -> np.ndarray:
    """Mutes the colours, and adds a lens's slight blur and a sensor's noise."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    image = grey + np.float32(rng.uniform(0.3, 1)) * (image - grey)
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.8) * len(image) / 256)
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(0, 5))
    return np.clip(np.round(image + noise), 0, 255).astype(np.uint8)


def _blend(image: np.ndarray, drawn: DrawnObject, alpha: np.ndarray, surface: np.ndarray) -> None:
    """Lays an object's surface (its window) over the image, in place, by an alpha of the whole frame."""
    view = image[drawn.window]
    view += alpha[drawn.window] * (surface - view)


def _shift(rng: Generator, scale: float) -> np.ndarray:
    return _float32(rng.normal(0, scale, 3))


def _float32(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)
