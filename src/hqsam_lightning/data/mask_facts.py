"""Describes the values of one mask: the evidence for deciding what the masks of a source mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hqsam_lightning.data.mask_pixels import MaskPixels, levels_of, read_mask_pixels

ONE_LEVEL = "one value"
TWO_LEVELS = "0 and one other value"
SOFT_EDGES = "grey edges"
LABELS = "several values that are not grey edges"
COLOURS = "several colours"
ALPHA = "a mask in the alpha channel alone"
TWO_PLANES = "an alpha channel and colours that differ"

NEAR_FULL = 0.9
"""A mask with grey edges reaches this share of the maximum of its depth."""

_MOST_FLAT = 0.4  # share of the pixels between the extremes that may lie inside areas of one value
_FEW_LEVELS = 4
_ALMOST_OPAQUE = 0.95
_SAME = 0.999
_WHITE_BORDER, _WHITE_AREA = 0.75, 0.5
_SHOWN_LEVELS = 6
_BLOCK = 256  # rows


@dataclass(frozen=True)
class MaskFacts:
    """Properties of the values of one mask.

    Attributes:
        path: the file.
        shows: one of the constants above.
        low: minimum of the values shown.
        high: maximum of the values shown.
        full: maximum of the file's depth; 255 for a 16-bit file without larger values.
        is_16_bit: whether the file has that depth.
        unused_alpha: whether the alpha channel varies and the mask is in the colours.
        inverted: whether the higher values cover most of the border and of the area, as a background does.
        text: the values, for messages.
    """

    path: Path
    shows: str
    low: int
    high: int
    full: int
    is_16_bit: bool
    unused_alpha: bool
    inverted: bool
    text: str

    @property
    def reaches_full(self) -> bool:
        """Whether the maximum is near the maximum of the depth."""
        return self.high >= NEAR_FULL * self.full


def look_at(path: Path) -> MaskFacts:
    """Reads a mask and describes its values.

    Raises:
        DataError: the file cannot be read as a mask.
    """
    return facts_of(read_mask_pixels(path))


def facts_of(pixels: MaskPixels) -> MaskFacts:
    """Describes the values of a decoded mask."""
    levels = levels_of(pixels.shown)
    low, high = int(levels[0]), int(levels[-1])
    full = 255 if high <= 255 else pixels.full
    shows = _plane(pixels) or _kind(pixels, levels, full)
    return MaskFacts(
        path=pixels.path,
        shows=shows,
        low=low,
        high=high,
        full=full,
        is_16_bit=pixels.full > 255,
        unused_alpha=_varies(pixels.alpha) and shows not in (ALPHA, TWO_PLANES),
        inverted=shows in (TWO_LEVELS, SOFT_EDGES) and _is_inverted(pixels.shown > high / 2),
        text=_text(pixels, levels),
    )


def _varies(alpha: np.ndarray | None) -> bool:
    return alpha is not None and bool(alpha.min() != alpha.max())


def _plane(pixels: MaskPixels) -> str | None:
    """The plane that holds the mask, or that both may; None if it is the colours."""
    alpha = pixels.alpha
    if alpha is None or not _varies(alpha):
        return None
    opaque = alpha > 127
    in_alpha = 0 < opaque.mean() < _ALMOST_OPAQUE
    in_colours = _is_like_a_mask(pixels)
    if in_colours and in_alpha:
        return None if ((pixels.shown > pixels.shown.max() / 2) == opaque).mean() > _SAME else TWO_PLANES
    if in_colours:
        return None
    constant = pixels.colours is None and pixels.shown.min() == pixels.shown.max()
    return ALPHA if in_alpha or constant else TWO_PLANES


def _is_like_a_mask(pixels: MaskPixels) -> bool:
    """Whether the colours are black and shades of one colour, most of them near the brightest."""
    shown = pixels.shown
    high = shown.max()
    if shown.min() == high or (pixels.colours is not None and not _is_of_one_hue(pixels.colours, shown)):
        return False
    return bool((shown[shown > 0] >= NEAR_FULL * high).mean() > 0.5)


def _kind(pixels: MaskPixels, levels: np.ndarray, full: int) -> str:
    """What the colours show."""
    if pixels.colours is not None and (pixels.lossy or not _is_of_one_hue(pixels.colours, pixels.shown)):
        return COLOURS
    if len(levels) == 1:
        return ONE_LEVEL
    if len(levels) == 2 and levels[0] == 0:
        return TWO_LEVELS
    return SOFT_EDGES if _has_soft_edges(pixels.shown, levels, full) else LABELS


def _is_of_one_hue(colours: np.ndarray, shown: np.ndarray) -> bool:
    """Whether every pixel is a darker shade of the brightest one; (H, W, 3) and (H, W) uint8."""
    brightest = colours.reshape(-1, 3)[int(shown.argmax())].astype(np.float32)
    hue = brightest / brightest.max()
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(shown), _BLOCK)]
    return all(bool((np.abs(shown[rows, :, None] * hue - colours[rows]) <= 2).all()) for rows in blocks)


def _has_soft_edges(plane: np.ndarray, levels: np.ndarray, full: int) -> bool:
    """Distinguishes grey edges of an object from areas of several values.

    Values between the extremes do not form areas (3 x 3 pixels of one value) where they are edges, nor even 2 x 2 where
    there are one or two of them: the unknown band of a trimap may be thin. Values near the extremes may form areas, as
    compression leaves them; they speak for areas where there is nothing between.
    """
    high = levels[-1]
    if high < NEAR_FULL * full:
        return False
    between = (plane > (1 - NEAR_FULL) * full) & (plane < NEAR_FULL * full)
    side = 2 if between.any() and len(levels) <= _FEW_LEVELS else 3
    kernel = np.ones((side, side), np.uint8)
    flat = cv2.erode(plane, kernel) == cv2.dilate(plane, kernel)
    if not between.any():
        between = (plane > 0) & (plane < high)
        if len(levels) <= _FEW_LEVELS and not _is_noise(plane[between], full):
            return False
    return bool(flat[between].mean() <= _MOST_FLAT)


def _is_noise(values: np.ndarray, full: int) -> bool:
    """Whether values lie at both ends of the range, as compression leaves them; a value to ignore lies at one end."""
    return bool((values < full / 2).any() and (values > full / 2).any())


def _is_inverted(bright: np.ndarray) -> bool:
    border = np.concatenate([bright[0], bright[-1], bright[1:-1, 0], bright[1:-1, -1]])
    return bool(border.mean() >= _WHITE_BORDER and bright.mean() >= _WHITE_AREA)


def _text(pixels: MaskPixels, levels: np.ndarray) -> str:
    """The values that a config would list: palette indices where there is a palette."""
    word = "values" if pixels.colours is None else "brightest channels"
    if pixels.indices is not None:
        word, levels = "palette indices", levels_of(pixels.indices)
    if len(levels) <= _SHOWN_LEVELS:
        return f"{word} {', '.join(map(str, levels))}"
    return f"{len(levels)} {word} from {levels[0]} to {levels[-1]}"
