"""The catalogue of sources: what a folder of photos and masks is called, holds, and where it comes from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Any

from hqsam_lightning.errors import ConfigError, DataError

SHOWN = 3
"""How many file names an error message shows."""


class MissingDataError(DataError):
    """A source's folder is absent or holds no photo: what ``data.allow_missing=true`` forgives."""


@dataclass(frozen=True)
class Source:
    """One set of photos with a mask each; a photo and its mask have the same stem.

    Attributes:
        name: key of the source in ``data.catalogue``, which begins its sample ids.
        images: folder of the photos, relative to ``paths.data_dir`` unless absolute.
        masks: folder of the masks; None: they lie beside their photos.
        image_suffixes: endings of the photos' names, in any case.
        mask_suffix: ending of the masks' names, in any case.
        expected: number of pairs in the whole set; None: unknown, not checked.
        exclude: stems of photos to leave out, such as ones whose mask is empty; `expected` counts them.
        weight: how often a photo is drawn an epoch, on average.
        title: the set's name in its paper.
        paper: authors, title, venue and arXiv id.
        licence: terms of use.
        note: where the set is downloaded, and what is odd about it.
    """

    name: str
    images: str
    masks: str | None = None
    image_suffixes: tuple[str, ...] = (".jpg", ".jpeg", ".png")
    mask_suffix: str = ".png"
    expected: int | None = None
    exclude: tuple[str, ...] = ()
    weight: float = 1.0
    title: str = ""
    paper: str = ""
    licence: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        for field in ("title", "paper", "licence", "note"):
            _require(isinstance(getattr(self, field), str), self, field, "text")
        for field in ("images", "masks"):
            value = getattr(self, field)
            optional = field == "masks" and value is None
            _require(optional or (isinstance(value, str) and value != ""), self, field, "a folder")
        suffixes = self.image_suffixes
        _require(
            isinstance(suffixes, tuple) and len(suffixes) > 0 and all(map(_is_suffix, suffixes)),
            self,
            "image_suffixes",
            "a list of suffixes that begin with a dot, e.g. ['.jpg']",
        )
        listed = isinstance(self.exclude, tuple) and all(isinstance(stem, str) for stem in self.exclude)
        _require(listed, self, "exclude", "a list of stems, e.g. [0001, 0007] in quotes where they are numbers")
        _require(_is_suffix(self.mask_suffix), self, "mask_suffix", "a suffix that begins with a dot, e.g. '.png'")
        counted = isinstance(self.expected, int) and not isinstance(self.expected, bool) and self.expected > 0
        _require(self.expected is None or counted, self, "expected", "a whole number > 0, or null")
        numeric = isinstance(self.weight, int | float) and not isinstance(self.weight, bool)
        _require(numeric and isfinite(self.weight) and self.weight > 0, self, "weight", "a number > 0")


def source_from_config(name: str, values: Mapping[str, Any]) -> Source:
    """Makes a source of its entry in ``data.catalogue``.

    Args:
        name: the entry's key.
        values: the fields of `Source`, without the name.

    Raises:
        ConfigError: a key is unknown or missing, or a value cannot work; it names ``data.catalogue.<name>.<key>``.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"data.catalogue.{name}: expected a mapping of a source's keys; got {values!r}")
    known = [field.name for field in fields(Source) if field.name != "name"]
    for key in values:
        if key not in known:
            raise ConfigError(f"data.catalogue.{name}.{key}: unknown key; expected one of {', '.join(known)}")
    if "images" not in values:
        raise ConfigError(f"data.catalogue.{name}.images: expected the folder of the photos; the key is missing")
    settings = dict(values)
    for key in ("image_suffixes", "exclude"):
        listed = settings.get(key)
        if isinstance(listed, Sequence) and not isinstance(listed, str):
            settings[key] = tuple(listed)
    return Source(name, **settings)


def source_folders(source: Source, data_dir: Path) -> tuple[Path, Path]:
    """Gives the folders of a source's photos and of its masks; absolute and ``~`` paths leave data_dir out."""
    root = data_dir.expanduser()
    images = root / Path(source.images).expanduser()
    return images, images if source.masks is None else root / Path(source.masks).expanduser()


def list_pairs(source: Source, data_dir: Path) -> list[tuple[Path, Path]]:
    """Lists a source's (photo, mask) paths, sorted by the photos' names; hidden files are left out.

    Args:
        source: what to list.
        data_dir: folder that the source's folders are relative to.

    Raises:
        MissingDataError: a folder is absent, or holds no photo.
        DataError: photos without a mask, two files of one stem, or photos that cannot be told from masks.
    """
    image_dir, mask_dir = source_folders(source, data_dir)
    for key, folder in (("images", image_dir), ("masks", mask_dir)):
        if not folder.is_dir():
            raise MissingDataError(f"{source.name}: {key} folder {folder} does not exist; {_how_to_get(source)}")
    mask_suffix = source.mask_suffix.lower()
    image_suffixes = {suffix.lower() for suffix in source.image_suffixes}
    masks = _files_by_stem(source, mask_dir, {mask_suffix}, "masks")
    if image_dir.resolve() == mask_dir.resolve() and mask_suffix in image_suffixes:
        photos = _files_by_stem(source, image_dir, image_suffixes - {mask_suffix}, "photos")
        _refuse_ambiguous(source, image_dir, sorted(set(masks) - set(photos)))
    else:
        photos = _files_by_stem(source, image_dir, image_suffixes, "photos")
    if not photos:
        endings = ", ".join(source.image_suffixes)
        raise MissingDataError(f"{source.name}: folder {image_dir} holds no photo ({endings}); {_how_to_get(source)}")
    _refuse_unmasked(source, mask_dir, photos, masks)
    return sorted(((photo, masks[stem]) for stem, photo in photos.items()), key=lambda pair: pair[0].name)


def without_excluded(source: Source, pairs: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Leaves out the pairs that the source excludes.

    Raises:
        DataError: for a stem that no photo has.
    """
    unknown = sorted(set(source.exclude) - {photo.stem for photo, _ in pairs})
    if unknown:
        raise DataError(
            f"{source.name}: data.catalogue.{source.name}.exclude names {unknown[0]!r}, which no photo of "
            f"{source.images} is called; take it out of the list"
        )
    return [pair for pair in pairs if pair[0].stem not in source.exclude]


def _require(condition: bool, source: Source, field: str, expected: str) -> None:
    if not condition:
        value = getattr(source, field)
        raise ConfigError(f"data.catalogue.{source.name}.{field}: expected {expected}; got {value!r}")


def _is_suffix(value: object) -> bool:
    return isinstance(value, str) and len(value) > 1 and value.startswith(".")


def _how_to_get(source: Source) -> str:
    about = "; ".join(text.strip() for text in (source.title, source.paper, source.note) if text.strip())
    where = f" ({about})" if about else ""
    return f"set paths.data_dir, download the set{where}, or set data.allow_missing=true to go on without it"


def _files_by_stem(source: Source, folder: Path, suffixes: set[str], what: str) -> dict[str, Path]:
    """Finds the files of a folder that end in one of the lower-case suffixes."""
    found: dict[str, Path] = {}
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and not entry.is_dir())
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in suffixes:
            continue
        if stem in found:
            raise DataError(
                f"{source.name}: two {what} share the stem {stem!r} in {folder}: {found[stem].name} and {name}; "
                f"rename or remove one, or narrow data.catalogue.{source.name}.image_suffixes"
            )
        found[stem] = folder / name
    return found


def _refuse_ambiguous(source: Source, folder: Path, stems: list[str]) -> None:
    """Refuses a folder where a file may be either a photo or a mask."""
    if stems:
        suffix = source.mask_suffix
        raise DataError(
            f"{source.name}: {len(stems)} {suffix} files in {folder} could be photos or masks, e.g. "
            f"{', '.join(stem + suffix for stem in stems[:SHOWN])}, because photos and masks share the folder and the "
            f"suffix; move the masks to a folder of their own and set data.catalogue.{source.name}.masks, or take "
            f"{suffix} out of data.catalogue.{source.name}.image_suffixes"
        )


def _refuse_unmasked(source: Source, mask_dir: Path, photos: dict[str, Path], masks: dict[str, Path]) -> None:
    unmasked = sorted(set(photos) - set(masks))
    if unmasked:
        shown = ", ".join(photos[stem].name for stem in unmasked[:SHOWN])
        raise DataError(
            f"{source.name}: {len(unmasked)} of {len(photos)} photos have no mask: {shown}"
            f"{', ...' if len(unmasked) > SHOWN else ''}; expected {mask_dir / (unmasked[0] + source.mask_suffix)}; "
            f"add the masks or remove the photos, or mend data.catalogue.{source.name}.masks and .mask_suffix"
        )
