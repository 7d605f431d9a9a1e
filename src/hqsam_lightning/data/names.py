"""The rules for the names of photos and masks: which file is which, and which names cannot be used."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from hqsam_lightning.errors import DataError

_NUMBERED = re.compile(r"(?s)(.+)_([0-9]+)")
_UNUSABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, bytes that are not UTF-8, line and paragraph separators
_SHOWN = 3


def is_ending(value: object) -> bool:
    """Whether a value can be the ending of file names: with a dot and something after it, e.g. ``"_mask.png"``."""
    return isinstance(value, str) and bool(re.fullmatch(r"[^/\\\0]*\.[^/\\\0.]+", value))


def matching_ending(name: str, endings: Sequence[str]) -> str | None:
    """The longest ending that a file name has, in any case; None if it has none of them, or no stem.

    Args:
        name: of a file, normalised.
        endings: normalised, lower-case.
    """
    matches = [ending for ending in endings if name[-len(ending) :].lower() == ending and len(ending) < len(name)]
    return max(matches, key=len, default=None)


def normal_form(name: str) -> str:
    """Composed Unicode (NFC): macOS and Linux store one name in different bytes."""
    return unicodedata.normalize("NFC", name)


def split_number(stem: str) -> tuple[str, int] | None:
    """Splits ``"x_12"`` into ``("x", 12)``, stem of a photo and number of its mask; None without a number."""
    match = _NUMBERED.fullmatch(stem)
    return (match[1], int(match[2])) if match else None


def in_order(stem: str) -> tuple[tuple[int, str], ...]:
    """Sort key that orders stems by the numbers in them: x_2 before x_10."""
    parts = re.split(r"([0-9]+)", stem)  # text and digits in turn
    return tuple((int(part), "") if place % 2 else (-1, part) for place, part in enumerate(parts))


def is_usable(name: str) -> bool:
    """Whether a name can be written into logs, reports and checkpoints."""
    return not any(unicodedata.category(character) in _UNUSABLE for character in name)


def refuse_unusable(source: str, folder: Path, names: Iterable[str]) -> None:
    """Refuses names that are not usable.

    Args:
        source: name of the source.
        folder: that the names are in.
        names: of photos, masks or folders.

    Raises:
        DataError: a name is not UTF-8, or holds control characters such as line breaks.
    """
    bad = [name for name in names if not is_usable(name)]
    if bad:
        shown = ", ".join(ascii(name) for name in bad[:_SHOWN])
        raise DataError(
            f"{source}: expected names in UTF-8 without control characters; got {len(bad)} other name(s) in {folder}: "
            f"{shown}{', ...' if len(bad) > _SHOWN else ''}; rename the files"
        )
