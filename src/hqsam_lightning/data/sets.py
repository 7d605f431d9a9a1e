"""The sets a run trains and validates on, built from the catalogue of sources or from procedural scenes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqsam_lightning.data.catalogue import Source, source_from_config
from hqsam_lightning.data.datasets import PhotoPairs, SampleSet, Scenes
from hqsam_lightning.data.inspection import CheckedSource, inspect_sources
from hqsam_lightning.data.listing import Pair
from hqsam_lightning.data.sampling import draws_an_epoch
from hqsam_lightning.errors import ConfigError, choice_error

log = logging.getLogger(__name__)

Pairs = list[Pair]


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
) -> DataSets:
    """Sets of photo and mask files.

    Args:
        catalogue: known sources by name, each with the fields of `Source`.
        sources: names of the training sources; none for sets that others only validate on.
        val_sources: names of the validation sets.
        data_dir: what relative folders are relative to.
        allow_missing: train on what is there, instead of an error for a missing set or an unexpected count.
        check: "quick" (files pair up, sizes agree) or "full" (every file is decoded).
        holdout: used where no validation set is there: the last photos, by name, of each training source are validated
            on and not trained on; a share when < 1, a number of photos when >= 1, none when 0.

    Raises:
        ConfigError: for an unknown or repeated source, none of those to train on, or an impossible holdout.
        DataError: for every missing or damaged set at once.
    """
    _refuse_repeats(sources, val_sources)
    if not sources and not val_sources:
        raise ConfigError(f"data.sources: expected at least one of {', '.join(sorted(catalogue))}; got none")
    train_specs = [_lookup("data.sources", name, catalogue) for name in sources]
    val_specs = [_lookup("data.val_sources", name, catalogue) for name in val_sources]
    checked = inspect_sources(train_specs + val_specs, Path(data_dir).expanduser(), allow_missing, check)
    pairs = {name: source.pairs for name, source in checked.items()}
    validation: dict[str, SampleSet] = {
        spec.name: _photos(spec, checked, pairs) for spec in val_specs if spec.name in pairs
    }
    found = [spec for spec in train_specs if spec.name in pairs]
    if sources and not found:
        raise ConfigError(
            f"data.sources: expected a training source that is there; got {list(sources)} with none in "
            f"paths.data_dir={data_dir}; set paths.data_dir or data.sources"
        )
    if not validation and holdout:
        level = logging.WARNING if val_specs else logging.INFO  # asked for, none there; or none asked for
        log.log(level, "no validation set: holding out the last photos of each source (holdout=%s)", holdout)
        for spec in found:
            pairs[spec.name], held_out = _hold_out(spec.name, pairs[spec.name], holdout)
            validation[spec.name] = _photos(spec, checked, {spec.name: held_out})
    return DataSets([(_photos(spec, checked, pairs), spec.weight) for spec in found], validation)


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
) -> DataSets:
    """Sets of procedural scenes, which need no files.

    Args:
        train_size: training scenes.
        val_size: validation scenes; never the same as training scenes.
        image_size: side of a scene in pixels.
        objects: least and greatest number of masked objects a scene.
        masks: to train on: "fine", exact, or "coarse", as an automatic annotation would be
            (`hqsam_lightning.data.scenes.coarsen`).
        coarseness: how far coarse masks are from the exact ones; 0 only thresholds.
        thin_objects: whether the objects of the training scenes may be thin; those validated on may.
        seed: the scenes are functions of (seed, index).
        val_masks: as masks, to validate on.
    """
    train = Scenes(train_size, image_size, seed, "train", objects, masks, coarseness, thin_objects)
    validation = Scenes(val_size, image_size, seed, "val", objects, val_masks, coarseness)
    return DataSets([(train, 1.0)], {"synthetic": validation})


def also_validate_on(scenes: DataSets, photos: DataSets) -> DataSets:
    """Sets that train on scenes and validate on held-out scenes and held-out photos.

    Args:
        scenes: trained and validated on.
        photos: only its validation sets are used.
    """
    return DataSets(scenes.train, scenes.validation | photos.validation)


def _photos(spec: Source, checked: Mapping[str, CheckedSource], pairs: Mapping[str, Pairs]) -> PhotoPairs:
    return PhotoPairs(spec.name, pairs[spec.name], checked[spec.name].mask_values, spec.max_masks)


def _lookup(key: str, name: str, catalogue: Mapping[str, Mapping[str, Any]]) -> Source:
    if name not in catalogue:
        raise choice_error(key, name, sorted(catalogue))
    return source_from_config(name, catalogue[name])


def _refuse_repeats(sources: Sequence[str], val_sources: Sequence[str]) -> None:
    names = [*sources, *val_sources]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(
            f"data.sources, data.val_sources: expected each source once; got {', '.join(repeated)} more than once; "
            "set data.catalogue.<source>.weight to draw a source more often"
        )


def _hold_out(name: str, pairs: Pairs, holdout: float) -> tuple[Pairs, Pairs]:
    count = holdout_count(name, len(pairs), holdout)
    return pairs[:-count], pairs[-count:]


def holdout_count(name: str, total: int, holdout: float) -> int:
    """How many photos of a source are held out.

    Args:
        name: of the source.
        total: number of its photos.
        holdout: a share when < 1, a number of photos when >= 1.

    Raises:
        ConfigError: nothing would be left on one side.
    """
    count = round(total * holdout) if holdout < 1 else int(holdout)
    if not 0 < count < total:
        raise ConfigError(
            f"data.holdout: expected to leave photos on both sides of {name}'s {total}; {holdout} holds out {count}"
        )
    return count
