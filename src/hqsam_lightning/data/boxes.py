"""Boxes in files: COCO's [x, y, width, height], checked."""

from __future__ import annotations

import math
from typing import TypeGuard

from hqsam_lightning.data.problems import shown
from hqsam_lightning.errors import DataError

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the frame, not outside of it."""


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value of JSON is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def box_within(value: object, size: tuple[int, int]) -> Box:
    """Reads a box [x, y, width, height], and cuts it off at the edges of a frame.

    Args:
        value: of JSON.
        size: (height, width) of the frame.

    Raises:
        DataError: it is no such box, or has no area inside of the frame.
    """
    if not isinstance(value, list) or len(value) != 4 or not all(map(is_number, value)):
        raise DataError(f"expected a box [x, y, width, height] of finite numbers, got {shown(value)}")
    x, y, width, height = map(float, value)
    x0, y0, x1, y1 = max(0.0, x), max(0.0, y), min(float(size[1]), x + width), min(float(size[0]), y + height)
    if x0 >= x1 or y0 >= y1:
        raise DataError(
            f"expected a box [x, y, width, height] with an area inside the frame of {size[1]}x{size[0]} pixels, got "
            f"{shown(value)}"
        )
    return x0, y0, x1, y1
