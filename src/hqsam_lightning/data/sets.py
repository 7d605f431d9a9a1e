"""The sets a run trains and validates on: of photos with mask files or JSON, or of procedural scenes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqsam_lightning.checks import Expected, arguments, integer, number, optional, share_or_count
from hqsam_lightning.data.catalogue import PERMISSIVE, UNKNOWN, Source, is_licensed, source_from_config
from hqsam_lightning.data.datasets import CocoInstances, Sa1b, SampleSet, Scenes
from hqsam_lightning.data.datasets.annotated import ARGUMENTS
from hqsam_lightning.data.datasets.base import PhotoSet
from hqsam_lightning.data.inspection import inspect_sources
from hqsam_lightning.data.names import refuse_unknown
from hqsam_lightning.data.sampling import draws_an_epoch
from hqsam_lightning.errors import ConfigError, choice_error

log = logging.getLogger(__name__)


@dataclass
class DataSets:
    """What a run reads.

    Attributes:
        train: samples and sampling weight of each training source.
        validation: samples of each validation set, by name.
    """

    train: list[tuple[SampleSet, float]]
    validation: dict[str, SampleSet]

    @property
    def epoch_size(self) -> int:
        """Samples drawn an epoch."""
        return sum(draws_an_epoch(len(samples), weight) for samples, weight in self.train)

    def describe(self) -> str:
        """One line that says how many images each set holds."""
        train = sum(len(samples) for samples, _ in self.train)
        validation = ", ".join(f"{name} {len(samples)}" for name, samples in self.validation.items())
        return f"training on {train} images of {len(self.train)} source(s); validating on {validation or 'nothing'}"


def folder_sets(
    catalogue: Mapping[str, Mapping[str, Any]],
    sources: Sequence[str],
    val_sources: Sequence[str],
    data_dir: str,
    allow_missing: bool = False,
    check: str = "quick",
    holdout: float = 0.1,
    license: str | None = None,
    strict: bool = True,
) -> DataSets:
    """Sets of photo and mask files.

    Args:
        catalogue: known sources by name, each with the fields of `Source`.
        sources: names of the training sources; none for sets that others only validate on.
        val_sources: names of the validation sets.
        data_dir: what relative folders are relative to.
        allow_missing: train on what is there, instead of an error for a missing set or an unexpected count.
        check: "quick" (files pair up, sizes agree) or "full" (every file is decoded).
        holdout: used where no validation set is there, see `validated`.
        license: "permissive" trains on sources with such a license alone, of `PERMISSIVE`; None on all.
        strict: whether single files that cannot be used are an error; otherwise their photos are left out.

    Raises:
        ConfigError: for an unknown or repeated source, none of those to train on, or an impossible holdout.
        DataError: for every missing or damaged set at once.
    """
    names = [*sources, *val_sources]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(
            f"data.sources, data.val_sources: expected each source once; got {', '.join(repeated)} more than once; "
            "set data.catalogue.<source>.weight to draw a source more often"
        )
    if not names:
        raise ConfigError(f"data.sources: expected at least one of {', '.join(sorted(catalogue))}; got none")
    specs = _licensed({name: _lookup("data.sources", name, catalogue) for name in sources}, license)
    val_specs = [_lookup("data.val_sources", name, catalogue) for name in val_sources]
    wanted = [*specs.values(), *val_specs]
    checked = inspect_sources(wanted, Path(data_dir).expanduser(), allow_missing, check, strict)
    train = [(checked[name], spec.weight) for name, spec in specs.items() if name in checked]
    if sources and not train:
        raise ConfigError(
            f"data.sources: expected a training source that is there; got {list(sources)} with none in "
            f"paths.data_dir={data_dir}; set paths.data_dir or data.sources"
        )
    validation = {name: checked[name] for name in val_sources if name in checked}
    return validated(train, validation, holdout, logging.WARNING if val_sources else logging.INFO)


OTHERS = Expected("sets, or null", lambda value: value is None or isinstance(value, DataSets | Mapping))
SETS: Mapping[str, Expected] = {**ARGUMENTS, "holdout": share_or_count(), "validation": OTHERS}
"""What the arguments have to be that the builders of annotated sets share."""


@arguments("data", limit=optional(integer(1)), **SETS)
def sa1b_sets(
    folder: str,
    max_masks: int | None,
    limit: int | None,
    validation: DataSets | None = None,
    holdout: float = 0.1,
    exclude: Sequence[str] = (),
    check: str = "quick",
    exif: str | None = None,
) -> DataSets:
    """Sets that train on SA-1B, and validate on others or on a part that is held out, see `validated`.

    Of validation only its validation sets are used; photos that are held out count as part of limit. See `Sa1b` for the
    other arguments.

    Raises:
        ConfigError: a value cannot work.
        DataError: one for all problems of the photos.
    """
    photos = Sa1b(folder, max_masks, limit, exclude, check, exif)
    return validated([(photos, 1.0)], {} if validation is None else validation.validation, holdout)


@arguments("data", **SETS)
def coco_sets(
    data_dir: str,
    annotations: str,
    images: str,
    max_masks: int | None,
    val_annotations: str | None = None,
    val_images: str | None = None,
    validation: DataSets | None = None,
    holdout: float = 0.1,
    exclude: Sequence[str] = (),
    check: str = "quick",
    exif: str | None = None,
) -> DataSets:
    """Sets that train on photos in COCO's format, and validate on others or on a part that is held out.

    Paths are relative to data_dir. val_annotations, of the photos in val_images, make the validation set "coco_val", to
    which exclude applies too; of validation only its validation sets are used; without any, see `validated`. See
    `CocoInstances` for the other arguments.

    Raises:
        ConfigError: a value cannot work.
        DataError: one for all problems of a set.
    """
    if (val_annotations is None) != (val_images is None):
        raise ConfigError(
            "data.val_annotations, data.val_images: expected both or neither; "
            f"got {val_annotations!r} and {val_images!r}"
        )
    root = Path(data_dir).expanduser()
    train = CocoInstances(root / annotations, root / images, max_masks, exclude, check, exif)
    others: dict[str, SampleSet] = {} if validation is None else dict(validation.validation)
    excluded = set(train.excluded)
    if val_annotations is not None and val_images is not None:
        val = CocoInstances(root / val_annotations, root / val_images, max_masks, exclude, check, exif, "coco_val")
        others["coco_val"] = val
        excluded |= val.excluded
        shared = {photo.path.resolve() for photo in train.photos} & {photo.path.resolve() for photo in val.photos}
        if shared:
            log.warning("%d photos of data.val_images are also trained on, e.g. %s", len(shared), min(shared).name)
    refuse_unknown(exclude, excluded, "the annotations")
    return validated([(train, 1.0)], others, holdout)


def validated(
    train: Sequence[tuple[PhotoSet, float]],
    validation: Mapping[str, SampleSet],
    holdout: float,
    level: int = logging.INFO,
) -> DataSets:
    """Sets that validate on others; without any, on held-out photos: the last ones, by name, of each training set.

    Args:
        train: training sets with their sampling weights.
        validation: validation sets by name.
        holdout: how many photos of a set are held out: a share when < 1, a number when >= 1, none when 0.
        level: of the log's message about what is held out.

    Raises:
        ConfigError: nothing would be left on one side.
    """
    made = DataSets(list(train), dict(validation))
    if made.validation or not holdout:
        return made
    names = ", ".join(photos.name for photos, _ in train)
    log.log(level, "no validation set: holding out the last photos of %s (holdout=%s)", names, holdout)
    for place, (photos, weight) in enumerate(train):
        total = len(photos)
        count = round(total * holdout) if holdout < 1 else int(holdout)
        if not 0 < count < total:
            raise ConfigError(
                f"data.holdout: expected to leave photos on both sides of {photos.name}'s {total}; {holdout} holds out "
                f"{count}"
            )
        made.train[place] = photos.part(0, total - count), weight
        made.validation[photos.name] = photos.part(total - count, total)
    return made


@arguments("data", photographs=OTHERS, photograph_share=number(0, 1, above=True, below=True), validation=OTHERS)
def synthetic_sets(
    train_size: int,
    val_size: int,
    image_size: int,
    objects: tuple[int, int] = (1, 3),
    masks: str = "fine",
    coarseness: float = 1.0,
    thin_objects: bool = True,
    seed: int = 0,
    val_masks: str = "fine",
    cutouts: str | None = None,
    cutout_share: float = 0.7,
    recoloured_share: float = 0.0,
    backgrounds: str | None = None,
    background_share: float = 0.6,
    smallest_object: float | None = None,
    photographs: DataSets | None = None,
    photograph_share: float = 0.2,
    validation: DataSets | None = None,
) -> DataSets:
    """Sets of train_size and val_size procedural scenes, which need no files and share none.

    The training sets of photographs are trained on beside scenes; photograph_share is their share of an epoch's images.

    The masks that are validated on are val_masks, of drawn objects alone, none very small, which may always be thin.
    The validation sets of validation are validated on besides scenes. See `Scenes` for the other arguments.
    """
    pictures: dict[str, Any] = {
        "cutouts": cutouts,
        "cutout_share": cutout_share,
        "recoloured_share": recoloured_share,
        "backgrounds": backgrounds,
        "background_share": background_share,
        "smallest_object": smallest_object,
    }
    train = Scenes(train_size, image_size, seed, "train", objects, masks, coarseness, thin_objects, **pictures)
    held_out = Scenes(val_size, image_size, seed, "val", objects, val_masks, coarseness)
    others = {} if validation is None else validation.validation
    trained = DataSets([(train, 1.0)], {"synthetic": held_out, **others})
    if photographs is not None:
        trained.train = beside(train, photographs, photograph_share)
    return trained


def also_validate_on(scenes: DataSets, photos: DataSets) -> DataSets:
    """Sets that train on scenes and validate on held-out scenes and on the validation sets of photos."""
    return DataSets(scenes.train, scenes.validation | photos.validation)


def beside(samples: SampleSet, photos: DataSets, share: float) -> list[tuple[SampleSet, float]]:
    """Samples, each drawn once an epoch, and training sets of photos, of which as many are drawn as make up a share.

    Args:
        samples: the others.
        photos: their weights say how often one source is drawn beside another.
        share: of an epoch's images that are photos, in (0, 1).

    Raises:
        ConfigError: photos hold none to train on.
    """
    if not photos.epoch_size:
        raise ConfigError(
            "data.photographs: expected photos to train on; got none; set its sources, or data.photographs=null"
        )
    factor = len(samples) * share / (1 - share) / photos.epoch_size
    return [(samples, 1.0), *((each, weight * factor) for each, weight in photos.train)]


def _licensed(specs: Mapping[str, Source], license: str | None) -> dict[str, Source]:
    """The sources that may be trained on; the log names the others."""
    if license not in (None, "permissive"):
        raise choice_error("data.license", license, ("permissive", "null"))
    kept = {name: spec for name, spec in specs.items() if is_licensed(spec.license, license)}
    others = ", ".join(f"{name} ({spec.license or UNKNOWN})" for name, spec in specs.items() if name not in kept)
    if others and not kept:
        raise ConfigError(
            f"data.license: expected a source with a permissive license ({', '.join(PERMISSIVE)}); got {others}; set "
            "data.catalogue.<source>.license where you have the right, or data.license=null"
        )
    if others:
        log.info("data.license=%s: not trained on: %s", license, others)
    return kept


def _lookup(key: str, name: str, catalogue: Mapping[str, Mapping[str, Any]]) -> Source:
    if name not in catalogue:
        raise choice_error(key, name, sorted(catalogue))
    return source_from_config(name, catalogue[name])
