"""File names from JSON and folders, which must stay in their folder, and become sample ids."""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from hqsam_lightning.data.names import is_usable, normal_form
from hqsam_lightning.data.problems import shown
from hqsam_lightning.errors import DataError

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
OTHER_SUFFIXES = (".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".jp2")
"""Suffixes, in any case, of photos of SA-1B, and of other images, which the log counts if they are not used."""


def name_problem(name: object) -> str | None:
    """Describes why a name cannot be that of a photo in a folder; None for a valid one.

    Args:
        name: relative to the folder, which it must not leave; subfolders are allowed.
    """
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
    """Path of a photo, also if the Unicode normal form of its name differs between disk and JSON.

    Args:
        folder: of the images.
        name: in which `name_problem` finds nothing.

    Returns:
        The path of the name as given if there is no such file.
    """
    paths = [folder / form for form in (name, normal_form(name), unicodedata.normalize("NFD", name))]
    return next(filter(os.path.isfile, paths), paths[0])


def count_unlisted(folder: Path, names: Collection[str]) -> int:
    """Counts the images in the folders of listed ones that are not listed.

    Args:
        folder: of the images.
        names: that are listed, relative to the folder.
    """
    listed = set(map(normal_form, names))
    beside = 0
    for parent in {posixpath.dirname(name) for name in names}:
        try:
            entries = os.listdir(folder / parent)
        except OSError:  # then no photo in it is used
            continue
        pictures = (entry for entry in entries if entry.lower().endswith((*PHOTO_SUFFIXES, *OTHER_SUFFIXES)))
        found = (normal_form(posixpath.join(parent, entry)) for entry in pictures if entry[0] != ".")
        beside += sum(name not in listed for name in found)
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
