"""What one person has done so far: the photo, and the prompts on it. Nothing here changes; every step is a new one.

Prompts are in fractions of the photo's width and height, so that they fit the picture on the page and the photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hqsam_lightning.checks import number, show
from hqsam_lightning.errors import PromptError
from hqsam_lightning.interactive.photos import Photo

MOST_PROMPTS = 100
FRACTION = number(0, 1)


@dataclass(frozen=True)
class Click:
    """A point on the object or off it.

    Attributes:
        x: fraction of the width.
        y: fraction of the height.
        is_object: False subtracts.
    """

    x: float
    y: float
    is_object: bool = True


@dataclass(frozen=True)
class Box:
    """A box around the object, in fractions of width and height."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Session:
    """A photo and the prompts on it.

    Attributes:
        photo: None before one is opened.
        prompts: in the order in which they were given; of several boxes the last one counts.
    """

    photo: Photo | None = None
    prompts: tuple[Click | Box, ...] = ()

    def require_photo(self) -> Photo:
        """The photo.

        Raises:
            PromptError: there is none.
        """
        if self.photo is None:
            raise PromptError("expected a photo first; choose an example, or drop one of yours on the page")
        return self.photo

    def add(self, prompt: Click | Box) -> Session:
        """With one more prompt.

        Raises:
            PromptError: there is no photo, or there are `MOST_PROMPTS` already.
        """
        self.require_photo()
        if len(self.prompts) >= MOST_PROMPTS:
            raise PromptError(f"expected at most {MOST_PROMPTS} clicks and boxes; undo some, or clear them all")
        return replace(self, prompts=(*self.prompts, prompt))

    def undo(self) -> Session:
        """Without the last prompt."""
        return replace(self, prompts=self.prompts[:-1])

    def clear(self) -> Session:
        """Without any prompt."""
        return replace(self, prompts=())

    @property
    def clicks(self) -> list[Click]:
        """All clicks."""
        return [prompt for prompt in self.prompts if isinstance(prompt, Click)]

    @property
    def box(self) -> Box | None:
        """The box that counts."""
        return next((prompt for prompt in reversed(self.prompts) if isinstance(prompt, Box)), None)

    def points(self, size: tuple[int, int]) -> np.ndarray:
        """(K, 2) clicks as (x, y) in pixels of a picture of size (H, W)."""
        return np.array([(click.x, click.y) for click in self.clicks]).reshape(-1, 2) * size[::-1]

    def corners(self, size: tuple[int, int]) -> np.ndarray | None:
        """(4,) box as xyxy in pixels of a picture of size (H, W); None without a box."""
        box = self.box
        return (
            None if box is None else np.array([box.left, box.top, box.right, box.bottom]) * (*size[::-1], *size[::-1])
        )


def as_prompt(start: object, end: object, subtracts: bool) -> Click | Box:
    """The prompt that a pointer drew on the picture: a click where it did not move, otherwise a box.

    Args:
        start: (x, y) where it went down, as the browser says; it may be anything.
        end: (x, y) where it came up.
        subtracts: whether a click is off the object.

    Raises:
        PromptError: they are not two pairs of fractions, or the box is empty.
    """
    (x0, y0), (x1, y1) = _pair(start), _pair(end)
    if (x0, y0) == (x1, y1):
        return Click(x0, y0, not subtracts)
    if x0 == x1 or y0 == y1:
        raise PromptError("expected a box with an area; draw it from one corner to the opposite one")
    return Box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def _pair(value: object) -> tuple[float, float]:
    is_pair = isinstance(value, Sequence) and len(value) == 2 and all(map(FRACTION.accepts, value))
    if not is_pair:
        raise PromptError(f"expected a place on the photo, two numbers from 0 to 1; got {show(value)}")
    assert isinstance(value, Sequence)
    return float(value[0]), float(value[1])
