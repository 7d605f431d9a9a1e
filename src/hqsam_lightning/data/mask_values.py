"""The meaning of the values of masks: one for all files of a source, never one per file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hqsam_lightning.checks import Expected, integer, list_of, require
from hqsam_lightning.data.mask_pixels import MAX_VALUE, MaskPixels, levels_of
from hqsam_lightning.errors import ConfigError, DataError

AUTO = "auto"
KINDS = ("binary", "soft", "nonzero", "alpha", "ids")
LISTED = "listed"

CHOICES = (
    "binary (two levels, the higher one is the object), soft (grey edges: value / 255 or / 65535), nonzero (all that "
    "is not 0 or black), alpha (the alpha channel), ids (each value but 0 is an object of its own), or a mapping of "
    "raw values or palette indices such as {object: [1], ignore: [255]}, where object may also be nonzero or ids"
)
"""The choices of ``mask_values``, for error messages."""


@dataclass(frozen=True)
class MaskValues:
    """The meaning of a mask's values.

    Attributes:
        kind: one of `KINDS`; `AUTO`, which `hqsam_lightning.data.mask_deciding` replaces by one of them; or `LISTED`:
            the values in `objects` are the object.
        objects: raw grey values or palette indices of the object, where the kind is `LISTED`.
        ignore: raw values of pixels that are neither trained on nor scored.
        threshold: of kind ``"binary"``: higher values are the object; None: not yet decided from the source's files.
        full: of kind ``"soft"``: the value that means 1; None: the maximum of a file's depth, 255 or 65535.
    """

    kind: str
    objects: tuple[int, ...] = ()
    ignore: tuple[int, ...] = ()
    threshold: float | None = None
    full: int | None = None

    def __str__(self) -> str:
        """Text that differs between meanings that read a file differently, e.g. ``"binary, above 127.5"``."""
        text = self.kind if self.kind != LISTED else f"object {list(self.objects)}"
        text += f", above {self.threshold:g}" if self.threshold is not None else ""
        text += f", of {self.full}" if self.full is not None else ""
        return text + (f", ignore {list(self.ignore)}" if self.ignore else "")


SOFT = MaskValues("soft")


def mask_values_from_config(key: str, value: Any) -> MaskValues:
    """Parses the value of ``mask_values``.

    It is one of `KINDS` or `AUTO`, or ``{object: [...], ignore: [...]}`` with whole numbers, where object may also be
    ``"nonzero"`` or ``"ids"``, and ignore may be left out.

    Raises:
        ConfigError: the value is none of these, or a number is listed as both; it names the key.
    """
    if isinstance(value, str) and value in (AUTO, *KINDS):
        return MaskValues(value)
    if not isinstance(value, Mapping) or "object" not in value or not set(value) <= {"object", "ignore"}:
        raise ConfigError(f"{key}: expected auto, {CHOICES}; got {value!r}")
    objects, ignore = value["object"], _numbers(f"{key}.ignore", value.get("ignore") or [])
    if objects in ("nonzero", "ids"):
        return MaskValues(objects, ignore=ignore)
    listed = _numbers(f"{key}.object", objects)
    if not listed:
        raise ConfigError(f"{key}.object: expected at least one value, nonzero or ids; got {objects!r}")
    both = sorted(set(listed) & set(ignore))
    if both:
        raise ConfigError(f"{key}: expected each value under object or under ignore; got {both} under both")
    return MaskValues(LISTED, listed, ignore)


def is_mask_values(value: Any) -> bool:
    """Whether `mask_values_from_config` takes the value."""
    try:
        mask_values_from_config("mask_values", value)
    except ConfigError:
        return False
    return True


def ids_of(pixels: MaskPixels, values: MaskValues) -> list[int]:
    """The ids of a mask's instances, in ascending order; [0] where the meaning is of one object per file.

    Raises:
        DataError: the meaning is ids, and the file has no values to list.
    """
    if values.kind != "ids":
        return [0]
    raw = _raw(pixels, values)
    found = np.unique(raw) if raw.dtype == np.int32 else levels_of(raw)
    return [value for value in found.tolist() if value != 0 and value not in values.ignore]


def object_of(pixels: MaskPixels, values: MaskValues, instance: int = 0) -> np.ndarray:
    """Returns the object of a mask.

    Args:
        pixels: of the mask.
        values: what they mean; decided, not `AUTO`.
        instance: one of `ids_of`.

    Returns:
        (H, W) float32 in [0, 1]; ignored pixels are 0.

    Raises:
        DataError: the file does not have what the meaning needs.
    """
    match values.kind:
        case "soft":
            mask = _scaled(pixels.shown, values.full or pixels.full)
        case "alpha":
            mask = _scaled(_alpha(pixels), 255)
        case "binary" if values.threshold is not None:
            mask = (pixels.shown > values.threshold).astype(np.float32)
        case "nonzero":
            mask = (pixels.shown > 0).astype(np.float32)
        case "ids":
            mask = (_raw(pixels, values) == instance).astype(np.float32)
        case "listed":
            mask = np.isin(_raw(pixels, values), values.objects).astype(np.float32)
        case _:
            raise ValueError(f"expected a decided meaning of the mask's values, got {values}")
    ignored = ignored_of(pixels, values)
    if ignored is not None:
        mask[ignored] = 0
    return mask


def ignored_of(pixels: MaskPixels, values: MaskValues) -> np.ndarray | None:
    """Returns the pixels that are neither object nor background, (H, W) bool; None where there is none.

    Raises:
        DataError: see `object_of`.
    """
    if not values.ignore:
        return None
    ignored = np.isin(_raw(pixels, values), values.ignore)
    return ignored if ignored.any() else None


def _raw(pixels: MaskPixels, values: MaskValues) -> np.ndarray:
    """(H, W) values that a config can list; for ids of a colour image, R + 256 G + 65536 B."""
    if pixels.lossy:
        raise DataError(
            f"mask_values={values}: expected masks whose values are exact, got a JPEG in {pixels.path}; save the masks "
            "as PNG, or set mask_values to binary or soft"
        )
    if pixels.raw is not None:
        return pixels.raw
    if values.kind == "ids" and not values.ignore and pixels.colours is not None:
        return pixels.colours.astype(np.int32) @ np.array([1, 256, 65536], np.int32)
    raise DataError(
        f"mask_values={values}: expected grey values or palette indices, got a colour image without a palette in "
        f"{pixels.path}; save the mask as 8-bit grey or with a palette, or set mask_values to nonzero or ids"
    )


def _alpha(pixels: MaskPixels) -> np.ndarray:
    if pixels.alpha is None:
        raise DataError(
            f"mask_values=alpha: expected a mask with an alpha channel, got none in {pixels.path}; save the object in "
            "the alpha channel as in the other files, or set mask_values to another meaning"
        )
    return pixels.alpha


def _scaled(plane: np.ndarray, full: int) -> np.ndarray:
    """Divides a (H, W) plane by the value that means 1, and clips it at 1."""
    return np.minimum(plane.astype(np.float32) / np.float32(full), np.float32(1))


def _numbers(key: str, values: Any) -> tuple[int, ...]:
    numbers = list_of(integer(0, MAX_VALUE))
    require(key, values, Expected(f"a list of whole numbers from 0 to {MAX_VALUE}", numbers.accepts))
    return tuple(sorted(set(values)))
