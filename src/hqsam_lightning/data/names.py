"""The rules for the names of photos and masks, in folders and in JSON: which file is which, and which are unusable."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from hqsam_lightning.data.problems import shown
from hqsam_lightning.errors import DataError

_NUMBERED = re.compile(r"(?s)(.+)_([0-9]+)")
_UNUSABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, bytes that are not UTF-8, line and paragraph separators

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
OTHER_SUFFIXES = (".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".jp2")
"""Suffixes, in any case, of photos of SA-1B, and of other images, which the log counts if they are not used."""


def is_ending(value: object) -> bool:
    """Whether a value can be the ending of file names: with a dot and something after it, e.g. ``"_mask.png"``."""
    return isinstance(value, str) and bool(re.fullmatch(r"[^/\\\0]*\.[^/\\\0.]+", value))


def matching_ending(name: str, endings: Sequence[str]) -> str | None:
    """The longest of the lower-case endings that a file name has, in any case; None without any, or without a stem."""
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


def name_problem(name: object) -> str | None:
    """Describes why a name cannot be that of a photo in a folder or its subfolders; None for a valid one."""
    if not isinstance(name, str) or not name:
        return f"expected a file name, got {shown(name)}"
    if not is_usable(name):
        return f"expected a file name of UTF-8 text without control characters, got {shown(name)}"
    if name.startswith("/") or tidy_name(name).split("/")[0] in ("..", "."):
        return f"expected a file name inside the folder of the images, got {shown(name)}"
    return None


def tidy_name(name: str) -> str:
    """Normalises a relative name: no ``.``, ``..`` or doubled slashes, so that ``..`` cannot leave a link either."""
    return posixpath.normpath(name)


def find_photo(folder: Path, name: str) -> Path:
    """Path of a photo, whose name may differ in its Unicode form between disk and JSON; as given where absent."""
    paths = [folder / form for form in (name, normal_form(name), unicodedata.normalize("NFD", name))]
    return next(filter(os.path.isfile, paths), paths[0])


def count_unlisted(folder: Path, names: Collection[str]) -> int:
    """Counts the images beside listed ones that are not listed; names are relative to the folder."""
    known = set(map(normal_form, names))
    beside = 0
    for parent in {posixpath.dirname(name) for name in names}:
        try:
            entries = os.listdir(folder / parent)
        except OSError:  # then no photo in it is used
            continue
        pictures = (entry for entry in entries if entry.lower().endswith((*PHOTO_SUFFIXES, *OTHER_SUFFIXES)))
        found = (normal_form(posixpath.join(parent, entry)) for entry in pictures if entry[0] != ".")
        beside += sum(name not in known for name in found)
    return beside


def names_of(name: str) -> set[str]:
    """The names by which ``data.exclude`` may list a photo: path or file name, with or without suffix."""
    base = posixpath.basename(name)
    return {name, posixpath.splitext(name)[0], base, posixpath.splitext(base)[0]}


def unique_stems(names: Sequence[str]) -> list[str]:
    """Names without suffix, except where two names differ only in the suffix."""
    counts = Counter(posixpath.splitext(name)[0] for name in names)
    stems = (posixpath.splitext(name)[0] for name in names)
    return [stem if counts[stem] == 1 else name for stem, name in zip(stems, names, strict=True)]


def refuse_unknown(exclude: Sequence[str], known: Collection[str], where: str) -> None:
    """Raises a `DataError` for a name in ``data.exclude`` that no photo has."""
    unknown = sorted(set(exclude) - set(known))
    if unknown:
        raise DataError(
            f"data.exclude: expected names of photos of {where}, got {shown(unknown[0])}, which no photo is called; "
            "take it out of the list"
        )
