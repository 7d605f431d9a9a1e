"""Pictures of prompts and masks, and the files that a person downloads."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from hqsam_lightning.data.overlay import tint
from hqsam_lightning.inference.objects import soft_alpha
from hqsam_lightning.interactive.session import Session

ADDED, SUBTRACTED, DRAWN, WHITE = (44, 160, 44), (214, 39, 40), (255, 127, 14), (255, 255, 255)
LEFT_ALONE, RIGHT_ALONE, BOTH = (255, 127, 14), (31, 119, 180), (200, 200, 200)
OPACITY = 0.7
JPEG_QUALITY = 90
PHOTO = "photo"
PIXELS_PER_WIDTH = 400
"""Of a picture's longer side, for which lines are one pixel wider."""


class Comparison(NamedTuple):
    """What is under the slider.

    Attributes:
        left: (H, W, 3) uint8.
        right: likewise.
        label: what they are.
        legend: what the colours mean, where that is not clear.
    """

    left: np.ndarray
    right: np.ndarray
    label: str
    legend: str = ""


def draw_prompts(picture: np.ndarray, session: Session) -> np.ndarray:
    """Draws clicks as discs with a plus or minus, and the box that counts.

    Args:
        picture: (H, W, 3) uint8.
        session: whose prompts are drawn.

    Returns:
        (H, W, 3) uint8.
    """
    drawn, size, width = picture.copy(), (picture.shape[0], picture.shape[1]), _line_width(picture)
    corners = session.corners(size)
    if corners is not None:
        left, top, right, bottom = (int(each) for each in corners.round())
        cv2.rectangle(drawn, (left, top), (right, bottom), DRAWN, width)
    for click, point in zip(session.clicks, session.points(size), strict=True):
        x, y = (int(each) for each in point)
        arm = 2 * width
        cv2.circle(drawn, (x, y), 4 * width, ADDED if click.is_object else SUBTRACTED, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(drawn, (x, y), 4 * width, WHITE, width, cv2.LINE_AA)
        cv2.line(drawn, (x - arm, y), (x + arm, y), WHITE, width)
        if click.is_object:
            cv2.line(drawn, (x, y - arm), (x, y + arm), WHITE, width)
    return drawn


def overlay(picture: np.ndarray, masks: Mapping[str, np.ndarray]) -> Comparison:
    """Each mask tinted over the dimmed photo."""
    return _beside(picture, {name: tint(picture, mask[None].astype(np.float32)) for name, mask in masks.items()})


def boundary(picture: np.ndarray, masks: Mapping[str, np.ndarray]) -> Comparison:
    """Each mask's outline on the photo."""
    return _beside(picture, {name: _outlined(picture, mask) for name, mask in masks.items()})


def difference(picture: np.ndarray, masks: Mapping[str, np.ndarray]) -> Comparison:
    """The photo, and where two masks differ."""
    (first_name, first), (last_name, last) = masks.items()
    painted = picture.astype(np.float32) * (1 - OPACITY)
    for region, colour in ((first & ~last, LEFT_ALONE), (last & ~first, RIGHT_ALONE), (first & last, BOTH)):
        painted[region] += OPACITY * np.array(colour, np.float32)
    legend = f"orange: {first_name} alone, blue: {last_name} alone, grey: both"
    return Comparison(picture, painted.astype(np.uint8), _label(PHOTO, "difference"), legend)


VIEWS: Mapping[str, Callable[[np.ndarray, Mapping[str, np.ndarray]], Comparison]] = {
    "overlay": overlay,
    "boundary": boundary,
    "difference": difference,
}
"""Ways to look at the (H, W) bool masks of models by name, over a picture (H, W, 3); a difference takes two."""


def mask_png(logits: np.ndarray) -> bytes:
    """A mask as PNG: 255 on the object, 0 off it.

    Args:
        logits: (H, W).
    """
    return _png(np.where(logits > 0, 255, 0).astype(np.uint8))


def cut_out_png(pixels: np.ndarray, logits: np.ndarray) -> bytes:
    """The object as PNG, with the model's probability as alpha.

    Args:
        pixels: (H, W, 3) uint8.
        logits: (H, W) float32.
    """
    return _png(np.dstack([pixels, soft_alpha(logits)]))


def data_url(picture: np.ndarray) -> str:
    """A picture (H, W, 3) uint8 as JPEG, inside its address."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _beside(picture: np.ndarray, drawn: Mapping[str, np.ndarray]) -> Comparison:
    """Two pictures; a single one stands beside the photo."""
    (left_name, left), (right_name, right) = [(PHOTO, picture), *drawn.items()][-2:]
    return Comparison(left, right, _label(left_name, right_name))


def _label(left: str, right: str) -> str:
    return f"{left} | {right}"


def _outlined(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(picture.copy(), outlines, -1, DRAWN, _line_width(picture))


def _line_width(picture: np.ndarray) -> int:
    return 1 + max(picture.shape[:2]) // PIXELS_PER_WIDTH


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
