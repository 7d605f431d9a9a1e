"""The photos of a prediction: a file, a folder or a glob pattern."""

from __future__ import annotations

import glob
import logging
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hqsam_lightning.data.names import in_order, is_usable, split_number, unique_stems
from hqsam_lightning.errors import DataError

log = logging.getLogger(__name__)

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
"""Of the files that a folder or pattern gives, in any case; a file that is named itself may have any."""


@dataclass(frozen=True)
class Photo:
    """A photo.

    Attributes:
        name: relative to the folder, with forward slashes.
        stem: of the files that are written for it; unique.
        path: of the file.
    """

    name: str
    stem: str
    path: Path


def find_photos(images: str) -> list[Photo]:
    """Finds photos, in the order of the numbers in their names.

    Args:
        images: a file; a folder, whose own files are taken; or a glob pattern, where ``**`` is any depth.

    Raises:
        DataError: there are none, a name cannot be used, or files of two photos would have one name.
    """
    path = Path(images).expanduser()
    if path.is_dir():
        folder, found = path, [each for each in path.iterdir() if not each.name.startswith(".")]
    elif glob.has_magic(images):
        folder = _folder_of(str(path))
        found = [Path(each) for each in glob.iglob(str(path), recursive=True)]
    else:
        _refuse_names([path.name])
        return [Photo(path.name, path.stem, path)]
    files = [each for each in found if not each.is_dir()]
    chosen = {each.relative_to(folder).as_posix(): each for each in files if each.suffix.lower() in SUFFIXES}
    if len(chosen) < len(files):
        log.info("images: %d other files left out, of other suffixes than %s", len(files) - len(chosen), SUFFIXES)
    if not chosen:
        raise DataError(
            f"images: expected a photo ({', '.join(SUFFIXES)}), a folder or a glob pattern of some; {images} has none"
        )
    names = sorted(chosen, key=in_order)
    _refuse_names(names)
    return [Photo(name, stem, chosen[name]) for name, stem in zip(names, unique_stems(names), strict=True)]


def numbered(stem: str, number: int, count: int | None) -> str:
    """Stem of the files of one of a photo's objects.

    Args:
        stem: of the photo, which is that of a single object's files too.
        number: of the object.
        count: of the photo's objects; None numbers them however many there are.
    """
    return stem if count == 1 else f"{stem}_{number}"


def _folder_of(pattern: str) -> Path:
    """The part of a pattern in front of the first one with wildcards."""
    parts = Path(pattern).parts
    plain = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:plain])


def _refuse_names(names: Sequence[str]) -> None:
    """Refuses names that cannot be written, and photos x and x_0: the first object of x has the files of x_0."""
    bad = [name for name in names if not is_usable(name)]
    if bad:
        raise DataError(f"images: expected names in UTF-8 without control characters; got {bad[0]!a}; rename it")
    stems = {posixpath.splitext(name)[0]: name for name in names}
    for stem, name in stems.items():
        split = split_number(stem)
        if split is not None and split[0] in stems:
            raise DataError(
                f"images: expected names whose masks can be told apart; the masks of {stems[split[0]]} are numbered "
                f"{split[0]}_0, {split[0]}_1, ..., and {name} is called so; predict the two apart, or rename one"
            )
