"""Fills an embedding cache for training runs: `... precompute cache=DIR augmentations_per_image=12`."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path

import hydra
import torch
from hydra.utils import instantiate
from lightning import Fabric
from omegaconf import DictConfig
from torch import Tensor

from hqsam_lightning.cli import clean_errors, run_hydra
from hqsam_lightning.config import as_plain, conf_dir
from hqsam_lightning.data.building import build_run_sets
from hqsam_lightning.data.cache import CacheIndex
from hqsam_lightning.data.cache_writing import (
    Entries,
    begin_cache,
    entry_bytes,
    require_room,
    write_shard,
)
from hqsam_lightning.data.datasets import MergedSets
from hqsam_lightning.data.shards import Place
from hqsam_lightning.data.watched_loading import WatchedLoader, loader_errors, sample_name
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.recipe import features_of
from hqsam_lightning.runtime.memory import keep_freed_memory
from hqsam_lightning.runtime.process_settings import ProcessSettings, begin_loading, with_process_settings
from hqsam_lightning.runtime.processes import launch, rounds, together, together_in_first
from hqsam_lightning.runtime.signals import Stopped, stop_on_signals, stops_deferred
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.schema import check_config
from hqsam_lightning.storage.locks import claim
from hqsam_lightning.training.build_trainer import check_devices
from hqsam_lightning.training.run_folder import is_first_process
from hqsam_lightning.types import SamFeatures

log = logging.getLogger(__name__)

BUSY_REMEDY = "wait for it, or choose another cache"


@with_process_settings
@loader_errors()
def precompute(config: DictConfig) -> Path:
    """Writes what is missing of a run's embedding cache, each device its share of the shards.

    The folder is claimed from before anything is read of it until all is written.

    Args:
        config: the run's, composed from conf/train.yaml, with cache and augmentations_per_image.

    Returns:
        The cache's folder.

    Raises:
        HQSamError: for input that cannot work, or a folder that another process fills, before any long work starts; and
            for a full disk.
        Stopped: after a signal, at the end of the shard.
    """
    config = check_config(config, "precompute")
    for key in ("cache", "augmentations_per_image"):
        if config[key] is None:
            raise ConfigError(f"{key}: expected a value; got null; set cache=FOLDER augmentations_per_image=NUMBER")
    folder = Path(config.cache).expanduser()
    try:
        with stop_on_signals(), ExitStack() as held:
            check_devices(config.trainer)
            fabric = launch(config.trainer)
            together_in_first(fabric, partial(held.enter_context, claim(folder, BUSY_REMEDY)))
            made = _fill(config, fabric, folder)
    except Stopped as stop:
        if is_first_process():
            shards = f"{len(list(folder.glob('*.safetensors')))} whole shards in {folder}"
            print(f"{stop.signal.name}: stopped with {shards}; the same command continues", file=sys.stderr)
        raise
    if fabric.is_global_zero:
        print(f"cache of {made} in {folder}; train with cache={folder}")
    return folder


def _fill(config: DictConfig, fabric: Fabric, folder: Path) -> str:
    """Writes what is missing.

    Returns:
        What the cache holds.
    """
    sam, entries = together(fabric, partial(_prepare, config, fabric))
    begin = partial(_begin, config, folder, sam, entries) if fabric.is_global_zero else list
    missing: list[Place] = fabric.broadcast(together(fabric, begin))
    _write(config, fabric, folder, sam, entries, missing)
    return f"{len(entries.train)} images x {entries.views} views and {len(entries.validation)} validation images"


def _prepare(config: DictConfig, fabric: Fabric) -> tuple[FrozenSam, Entries]:
    sets, _ = build_run_sets(config)
    train, validation = MergedSets([samples for samples, _ in sets.train]), MergedSets(list(sets.validation.values()))
    if fabric.device.type == "cpu" and ProcessSettings.from_config(config).keep_freed_memory:
        keep_freed_memory()
    sam = instantiate(config.sam).to(fabric.device)
    augmentation = instantiate(config.augmentation, image_size=sam.image_size)
    return sam, Entries(train, validation, augmentation, config.seed, config.augmentations_per_image)


def _begin(config: DictConfig, folder: Path, sam: FrozenSam, entries: Entries) -> list[Place]:
    """Places of the shards that are to be written, for which there is space."""
    facts = {**features_of(as_plain(config), sam.weights_sha256), "views": entries.views}
    images, validation = (
        [samples.identify(index) for index in range(len(samples))] for samples in (entries.train, entries.validation)
    )
    missing = begin_cache(folder, CacheIndex(facts, images, validation))
    if missing:
        blank = torch.zeros(1, 3, sam.image_size, sam.image_size, dtype=torch.uint8, device=sam.device)
        size, count = entry_bytes(sam.encode(blank), entries), sum(place.entries for place in missing)
        log.info("%d views to encode, at most %.1f MB each: %.2f GB", count, size / 1e6, count * size / 1e9)
        require_room(folder, count * size)
    return missing


def _write(
    config: DictConfig, fabric: Fabric, folder: Path, sam: FrozenSam, entries: Entries, missing: list[Place]
) -> None:
    """Writes shards in rounds of one per process, after each of which all processes agree to go on."""
    own = missing[fabric.global_rank :: fabric.world_size]
    loader = WatchedLoader(
        entries,
        name_of=lambda key: sample_name(*entries.find(key[0])[:2]),
        sampler=[entry for place in own for entry in place.numbers],
        batch_size=None,
        num_workers=config.loader.num_workers,
        timeout=config.loader.timeout,
        worker_init_fn=begin_loading(config),
    )
    made = iter(loader)

    def encode(images: Tensor) -> SamFeatures:
        return sam.encode(images.to(sam.device))

    def write(places: list[Place]) -> None:
        for place in places:
            write_shard(folder, place, list(islice(made, place.entries)), encode, config.batch.max_per_device)

    with stops_deferred():
        for turn in rounds(fabric, len(missing), "encoding"):
            together(fabric, partial(write, own[turn : turn + 1]))


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="train")
@clean_errors
def main(config: DictConfig) -> None:
    """Entry point of the command line."""
    precompute(config)


if __name__ == "__main__":
    run_hydra(main, "train")
