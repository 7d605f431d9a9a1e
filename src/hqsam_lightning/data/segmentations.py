"""Masks in COCO's format: polygons and run lengths, validated before anything is allocated or decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import faster_coco_eval.core.mask as rle
import numpy as np

from hqsam_lightning.data.image_files import MAX_PIXELS
from hqsam_lightning.data.problems import shown

Segmentation = Mapping[str, Any] | Sequence[Sequence[float]]
"""COCO's run lengths {"size": [h, w], "counts": ...}, compressed or not, or a list of polygons [x, y, x, y, ...]."""

LEAST_POLYGON = 6
"""Minimum length of a polygon: three corners. The decoder takes four numbers for a box."""

MAX_COORDINATE = 2**20
MAX_OUTLINE = 2**22
"""Limits of the coordinates and of the outline of a polygon, in pixels: the decoder allocates by the outline."""

_NUMBERS = {int, float}
_INTEGERS = {int}
_DIGIT_BITS, _SIGN, _MORE = 5, 16, 32
_MOST_DIGITS = 7


def is_size(value: object) -> TypeGuard[tuple[int, int]]:
    """Whether this is the [height, width] of an image: two integers > 0, at most `MAX_PIXELS` pixels."""
    if not isinstance(value, list | tuple) or len(value) != 2 or set(map(type, value)) != _INTEGERS:
        return False
    return min(value) > 0 and value[0] * value[1] <= MAX_PIXELS


def segmentation_problem(segmentation: object) -> str | None:
    """Describes why a value of JSON cannot be decoded as a segmentation; None for a valid one."""
    if isinstance(segmentation, dict):
        return _run_lengths_problem(segmentation)
    if not isinstance(segmentation, list) or not segmentation:
        return f"expected polygons or run lengths, got {shown(segmentation)}"
    return next(filter(None, map(_polygon_problem, segmentation)), None)


def has_pixels(segmentation: Segmentation, size: tuple[int, int]) -> bool:
    """Whether a valid segmentation covers a pixel of an image of (height, width)."""
    if isinstance(segmentation, Mapping):
        runs = _runs(segmentation["counts"])
        return runs is not None and bool(runs[1::2].any())
    return bool(rle.area(rle.frPyObjects(list(segmentation), *size)).any())


def decode(segmentation: Segmentation, size: tuple[int, int]) -> np.ndarray:
    """Decodes a valid segmentation of an image of (height, width), which is also that of run lengths.

    Returns:
        (H, W) bool, contiguous by rows.
    """
    return rle.decode(_compressed(segmentation, size)).astype(bool, order="C")


def run_lengths(segmentation: Segmentation, size: tuple[int, int]) -> dict[str, Any]:
    """COCO's compressed run lengths of a valid segmentation, as JSON can hold them; see `decode`."""
    return _as_json(_compressed(segmentation, size))


def encode(mask: np.ndarray) -> dict[str, Any]:
    """COCO's compressed run lengths of an (H, W) bool mask, as JSON can hold them."""
    return _as_json(rle.encode(np.asfortranarray(mask, np.uint8)))


def _compressed(segmentation: Segmentation, size: tuple[int, int]) -> dict[str, Any]:
    if not isinstance(segmentation, Mapping):
        return rle.merge(rle.frPyObjects(list(segmentation), *size))
    if isinstance(segmentation["counts"], list):
        return rle.frPyObjects(dict(segmentation), *size)
    return dict(segmentation)


def _as_json(lengths: Mapping[str, Any]) -> dict[str, Any]:
    counts = lengths["counts"]
    text = counts.decode() if isinstance(counts, bytes) else counts
    return {"size": [int(side) for side in lengths["size"]], "counts": text}


def _polygon_problem(polygon: object) -> str | None:
    if not isinstance(polygon, list):
        return f"expected a list of polygons [[x, y, x, y, ...], ...], got {shown(polygon)} in it"
    if not set(map(type, polygon)) <= _NUMBERS:
        return f"expected a polygon of numbers, got {shown(polygon)}"
    if len(polygon) < LEAST_POLYGON or len(polygon) % 2:
        return f"expected a polygon of at least {LEAST_POLYGON} numbers, two per corner; got {shown(polygon)}"
    low, high = min(polygon), max(polygon)
    if not -MAX_COORDINATE <= low <= high <= MAX_COORDINATE:
        return f"expected coordinates of -{MAX_COORDINATE} to {MAX_COORDINATE}, got {shown(low)} to {shown(high)}"
    if len(polygon) / 2 * (high - low) > MAX_OUTLINE and _outline(polygon) > MAX_OUTLINE:
        return f"expected a polygon whose outline is at most {MAX_OUTLINE} pixels long, got {_outline(polygon):.3g}"
    return None


def _outline(polygon: Sequence[float]) -> float:
    """Length of the outline in steps of the rasteriser: per edge, the larger of its width and height."""
    corners = np.asarray(polygon, np.float64).reshape(-1, 2)
    return float(np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1).sum())


def _run_lengths_problem(lengths: dict[str, Any]) -> str | None:
    size, counts = lengths.get("size"), lengths.get("counts")
    if not is_size(size):
        return f"expected run lengths with a size [height, width] of at most {MAX_PIXELS} pixels, got {shown(size)}"
    runs = _runs(counts)
    if runs is None:
        return f"expected counts as a list of integers >= 0 or as COCO's compressed text, got {shown(counts)}"
    covered, pixels = int(runs.sum()), size[0] * size[1]
    if covered != pixels:
        return f"expected counts that add up to {pixels} pixels (size {shown(size)}), got {covered}"
    return None


def _runs(counts: object) -> np.ndarray | None:
    """(R,) int64 run lengths, alternating background and object; None for invalid counts."""
    if isinstance(counts, str):
        runs = _decompress(counts)
        return None if runs is None or runs.min() < 0 else runs
    if not isinstance(counts, list) or set(map(type, counts)) != _INTEGERS:
        return None
    return np.asarray(counts, np.int64) if min(counts) >= 0 and max(counts) <= MAX_PIXELS else None


def _decompress(text: str) -> np.ndarray | None:
    """Decodes COCO's compressed text: 5-bit digits; from the fourth run on, differences to the run two before."""
    if not text or not text.isascii():
        return None
    digits = np.frombuffer(text.encode(), np.uint8).astype(np.int64) - ord("0")
    ends = (digits & _MORE) == 0
    if digits.min() < 0 or digits.max() >= 2 * _MORE or not ends[-1]:
        return None
    lasts = np.flatnonzero(ends)
    firsts = np.concatenate([[0], lasts[:-1] + 1])
    lengths = lasts - firsts + 1
    if lengths.max() > _MOST_DIGITS:
        return None
    places = np.arange(len(digits)) - np.repeat(firsts, lengths)
    values = np.add.reduceat((digits & (_MORE - 1)) << (_DIGIT_BITS * places), firsts)
    values -= np.where(digits[lasts] & _SIGN, np.int64(1) << (_DIGIT_BITS * lengths), 0)
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    return values
