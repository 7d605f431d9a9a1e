"""Fills an embedding cache for training runs: `python -m hqsam_lightning.precompute data.cache=DIR data.views=12`."""

from __future__ import annotations

import logging
from itertools import islice
from pathlib import Path

import hydra
import torch
from hydra.utils import instantiate
from lightning import Fabric
from omegaconf import DictConfig
from rich.progress import track
from torch.utils.data import DataLoader

from hqsam_lightning.cli import clean_errors, conf_dir, run_hydra
from hqsam_lightning.data.cache import cache_facts
from hqsam_lightning.data.cache_writing import (
    Entries,
    begin_cache,
    entry_bytes,
    missing_shards,
    require_space,
    shard_entries,
    write_shard,
)
from hqsam_lightning.data.loading import begin_loading
from hqsam_lightning.data.samples import MergedSets
from hqsam_lightning.data.views import OnlineViews
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.memory import keep_freed_memory
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.schema import check_config
from hqsam_lightning.session import as_plain, build_sets, quieten, with_debug

log = logging.getLogger(__name__)


def precompute(config: DictConfig) -> Path:
    """Writes what is missing of a run's embedding cache, each device its share of the shards.

    Args:
        config: the run's, composed from conf/train.yaml, with data.cache and data.views.

    Returns:
        The cache's folder.

    Raises:
        HQSamError: for input that cannot work, before any long work starts; and for a full disk.
    """
    quieten()
    folder, views = _target(config)
    fabric = _launch(config)
    samples = MergedSets([samples for samples, _ in build_sets(config).train])
    if fabric.device.type == "cpu":
        keep_freed_memory()
    sam = instantiate(config.sam).to(fabric.device)
    augmentation = instantiate(config.augmentation, image_size=sam.image_size)
    made = OnlineViews(samples, augmentation, config.seed, views, config.data.decode)
    images = [samples.identify(index) for index in range(len(samples))]
    if fabric.is_global_zero:
        begin_cache(folder, cache_facts(as_plain(config), sam.image_size, sam.weights_sha256, views), images)
    fabric.barrier()
    missing = missing_shards(folder, len(images), views)
    fabric.barrier()
    if missing and fabric.is_global_zero:
        _say_and_check(folder, sam, made, missing)
    fabric.barrier()
    _write(config, folder, sam, made, missing[fabric.global_rank :: fabric.world_size])
    fabric.barrier()
    if fabric.is_global_zero:
        print(f"cache of {len(images)} images x {views} views in {folder}; train with data.cache={folder}")
    return folder


def _target(config: DictConfig) -> tuple[Path, int]:
    for key in ("cache", "views"):
        if config.data[key] is None:
            raise ConfigError(
                f"data.{key}: expected a value; got null; set data.cache=FOLDER data.views=VIEWS_AN_IMAGE"
            )
    return Path(config.data.cache).expanduser(), config.data.views


def _launch(config: DictConfig) -> Fabric:
    options = {key: config.trainer[key] for key in ("accelerator", "devices", "num_nodes") if key in config.trainer}
    fabric = Fabric(**options, strategy="auto" if options.get("devices") == 1 else "ddp")
    fabric.launch()
    return fabric


def _say_and_check(folder: Path, sam: FrozenSam, views: OnlineViews, missing: list[int]) -> None:
    assert views.count is not None
    blank = torch.zeros(1, 3, sam.image_size, sam.image_size, dtype=torch.uint8, device=sam.device)
    size = entry_bytes(sam.encode(blank), views)
    entries = sum(len(shard_entries(number, len(views), views.count)) for number in missing)
    log.info("%d views to encode, %.1f MB each: %.2f GB", entries, size / 1e6, entries * size / 1e9)
    require_space(folder, entries * size)


def _write(config: DictConfig, folder: Path, sam: FrozenSam, views: OnlineViews, shards: list[int]) -> None:
    assert views.count is not None
    numbers = [shard_entries(number, len(views), views.count) for number in shards]
    loader = DataLoader(
        Entries(views, views.count),
        sampler=[entry for entries in numbers for entry in entries],
        batch_size=None,
        num_workers=config.loader.num_workers,
        worker_init_fn=begin_loading,
    )
    made = iter(loader)
    for number, entries in track(list(zip(shards, numbers, strict=True)), "encoding"):
        write_shard(folder, number, list(islice(made, len(entries))), sam, config.batch.max_per_device)


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="train")
@clean_errors
def main(config: DictConfig) -> None:
    """Entry point of the command line."""
    precompute(check_config(with_debug(config), "precompute"))


if __name__ == "__main__":
    run_hydra(main, "train")
