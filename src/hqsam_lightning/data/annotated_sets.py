"""The sets a run trains and validates on, of photos whose masks are in JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from hqsam_lightning.checks import Expected, arguments, integer, optional, share_or_count
from hqsam_lightning.data.annotated import ARGUMENTS
from hqsam_lightning.data.datasets import AnnotatedPhotos, CocoInstances, Sa1b, SampleSet
from hqsam_lightning.data.photo_names import refuse_unknown
from hqsam_lightning.data.sets import DataSets, holdout_count
from hqsam_lightning.errors import ConfigError

log = logging.getLogger(__name__)


SETS: Mapping[str, Expected] = {
    **ARGUMENTS,
    "holdout": share_or_count(),
    "validation": Expected("sets, or null", lambda value: value is None or isinstance(value, DataSets | Mapping)),
}


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
    """Sets that train on SA-1B, and validate on others or on a part that is held out.

    Args:
        folder: see `Sa1b`.
        max_masks: see there.
        limit: see there; photos that are held out count.
        validation: only its validation sets are used.
        holdout: used without validation sets: the last photos, by name, are validated on and not trained on; a share
            when < 1, a number of photos when >= 1, none when 0.
        exclude: see `Sa1b`.
        check: see there.
        exif: see there.

    Raises:
        ConfigError: a value cannot work.
        DataError: one for all problems of the photos.
    """
    photos = Sa1b(folder, max_masks, limit, exclude, check, exif)
    return _with_validation(photos, {} if validation is None else validation.validation, holdout)


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

    Args:
        data_dir: that the other paths are relative to.
        annotations: see `CocoInstances`.
        images: see there.
        max_masks: see there.
        val_annotations: annotations of photos to validate on; they make the set "coco_val".
        val_images: folder of those photos.
        validation: only its validation sets are used.
        holdout: used without validation sets: the last photos, by name, are validated on and not trained on; a share
            when < 1, a number of photos when >= 1, none when 0.
        exclude: see `CocoInstances`; of both sets.
        check: see there.
        exif: see there.

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
        _warn_of_shared(train, val)
    refuse_unknown(exclude, excluded, "the annotations")
    return _with_validation(train, others, holdout)


def _with_validation(photos: AnnotatedPhotos, others: dict[str, SampleSet], holdout: float) -> DataSets:
    if others or not holdout:
        return DataSets([(photos, 1.0)], others)
    log.info("no validation set: holding out the last photos of %s (holdout=%s)", photos.name, holdout)
    first = len(photos) - holdout_count(photos.name, len(photos), holdout)
    return DataSets([(photos.part(0, first), 1.0)], {photos.name: photos.part(first, len(photos))})


def _warn_of_shared(train: CocoInstances, validation: CocoInstances) -> None:
    shared = {photo.path.resolve() for photo in train.photos} & {photo.path.resolve() for photo in validation.photos}
    if shared:
        log.warning("%d photos of data.val_images are also trained on, e.g. %s", len(shared), min(shared).name)
