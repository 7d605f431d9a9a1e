"""The catalogue of sources: name, folders, format and origin of each set of photos with masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from hqsam_lightning.checks import Expected, integer, list_of, number, optional, path, require, text, where
from hqsam_lightning.data.mask_values import AUTO, CHOICES, is_mask_values, mask_values_from_config
from hqsam_lightning.data.names import is_ending
from hqsam_lightning.errors import ConfigError, DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


FIELDS: Mapping[str, Expected] = {
    "images": path(),
    "masks": optional(path()),
    "image_suffixes": where(
        list_of(text(2), least=1),
        "a list of endings with their dot, e.g. ['.jpg']",
        lambda endings: all(map(is_ending, endings)),
    ),
    "mask_suffix": Expected("an ending with its dot, e.g. '.png' or '_mask.png'", is_ending),
    "mask_values": Expected(f"auto, {CHOICES}", is_mask_values),
    "max_masks": optional(integer(1)),
    "expected": optional(integer(1)),
    "exclude": Expected("a list of stems, in quotes where they are numbers, e.g. ['0001']", list_of(text(1)).accepts),
    "weight": number(0, 1000, above=True),
    **dict.fromkeys(("title", "paper", "license", "terms", "note"), text()),
}
"""What the fields of a `Source` have to be."""


PERMISSIVE = (
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC-BY-4.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "PDDL-1.0",
    "Unlicense",
)
"""Licenses under which what is trained on a set may be given away and sold."""
UNKNOWN = "unknown"


class MissingDataError(DataError):
    """A source's folder is absent or holds no photo; ``data.allow_missing=true`` makes it a warning."""


@dataclass(frozen=True)
class Source:
    """One set of photos with masks; a photo and its masks have the same stem, see `hqsam_lightning.data.listing`.

    Attributes:
        name: key of the source in ``data.catalogue``, which begins its sample ids.
        images: folder of the photos, relative to ``paths.data_dir`` unless absolute.
        masks: folder of the masks; None: the folder of the photos.
        image_suffixes: endings of the photos' names, in any case; what comes before the ending is the stem.
        mask_suffix: ending of the masks' names, in any case, e.g. ``".png"`` or ``"_mask.png"``.
        mask_values: what the masks' values mean: ``"auto"``, decided from many files of the source at once, or a value
            of `hqsam_lightning.data.mask_values.mask_values_from_config`.
        max_masks: maximum number of masks per photo: if it has more, they are drawn at random, always the same ones;
            None takes all.
        expected: number of pairs in the whole set; None: unknown, not checked.
        exclude: stems of photos to leave out, such as ones whose mask is empty; `expected` counts them.
        weight: how often a photo is drawn per epoch, on average.
        title: the set's name in its paper.
        paper: authors, title, venue and arXiv id.
        license: SPDX id, or ``LicenseRef-NAME`` for terms that have none; empty: unknown.
        terms: of use, in words.
        note: where to download the set, and its peculiarities.
    """

    name: str
    images: str
    masks: str | None = None
    image_suffixes: tuple[str, ...] = IMAGE_SUFFIXES
    mask_suffix: str = ".png"
    mask_values: str | Mapping[str, Any] = AUTO
    max_masks: int | None = None
    expected: int | None = None
    exclude: tuple[str, ...] = ()
    weight: float = 1.0
    title: str = ""
    paper: str = ""
    license: str = ""
    terms: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        mask_values_from_config(f"data.catalogue.{self.name}.mask_values", self.mask_values)
        for field, expected in FIELDS.items():
            require(f"data.catalogue.{self.name}.{field}", getattr(self, field), expected)


def source_from_config(name: str, values: Mapping[str, Any]) -> Source:
    """Builds a source from the fields, without the name, of its entry in ``data.catalogue``.

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


def licenses_of(data: Any, license: str | None = None) -> dict[str, str]:
    """License of each source that a run trains on, by name.

    Args:
        data: the section of a config, as plain values; its sets may be inside of others. What others only validate on
            (`validation`, and the photos of `also_validate_on`) does not count.
        license: as `is_licensed`, of sets around these.
    """
    if not isinstance(data, Mapping):
        return {}
    license = data.get("license", license)
    validated = "photos" if str(data.get("_target_")).endswith(".also_validate_on") else "validation"
    inside = [value for key, value in data.items() if key != validated]
    found = {name: license_ for value in inside for name, license_ in licenses_of(value, license).items()}
    catalogue = data.get("catalogue", {})
    own = {name: catalogue[name].get("license") or UNKNOWN for name in data.get("sources", ()) if name in catalogue}
    return found | {name: value for name, value in own.items() if is_licensed(value, license)}


def is_licensed(found: str, wanted: str | None) -> bool:
    """Whether a source's license is of those that are wanted: "permissive", or any where None."""
    return wanted is None or found in PERMISSIVE
