"""Fills an embedding cache for training runs: `python -m hqsam_lightning.precompute data.cache=DIR data.views=12`."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.utils import instantiate
from lightning import Fabric
from omegaconf import DictConfig
from rich.progress import track
from torch.utils.data import DataLoader

from hqsam_lightning.cli import clean_errors, conf_dir, run_hydra
from hqsam_lightning.data.cache import cache_facts, missing_shards
from hqsam_lightning.data.cache_writing import (
    Entries,
    begin_cache,
    entry_bytes,
    require_space,
    shard_entries,
    write_shard,
)
from hqsam_lightning.data.loading import begin_loading
from hqsam_lightning.data.samples import MergedSets
from hqsam_lightning.data.shards import Place
from hqsam_lightning.data.views import OnlineViews
from hqsam_lightning.errors import ConfigError, HQSamError
from hqsam_lightning.locks import exclusive
from hqsam_lightning.memory import keep_freed_memory
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.session import as_plain, build_sets, quieten, with_debug
from hqsam_lightning.signals import stop_on_signals, stop_requested

log = logging.getLogger(__name__)

LOCK_FILE = ".lock"
"""In the cache's folder; held from before anything is read of it until all is written."""


def precompute(config: DictConfig) -> Path:
    """Writes what is missing of a run's embedding cache, each device its share of the shards.

    Args:
        config: the run's, composed from conf/train.yaml, with data.cache and data.views.

    Returns:
        The cache's folder.

    Raises:
        HQSamError: for input that cannot work, or a folder that another process fills, before any long work starts; and
            for a full disk.
        SystemExit: after SIGINT or SIGTERM, at the end of the shard, with 128 and the signal's number.
    """
    quieten()
    folder, views = _target(config)
    fabric = _launch(config)
    with ExitStack() as held:
        _together(fabric, partial(_claim, folder, held) if fabric.is_global_zero else lambda: None)
        count = _fill(config, fabric, folder, views)
    if fabric.is_global_zero:
        print(f"cache of {count} images x {views} views in {folder}; train with data.cache={folder}")
    return folder


def _claim(folder: Path, held: ExitStack) -> None:
    held.enter_context(exclusive(folder / LOCK_FILE, f"data.cache={folder}"))


def _fill(config: DictConfig, fabric: Fabric, folder: Path, views: int) -> int:
    """Writes what is missing; gives the number of images."""
    samples = MergedSets([samples for samples, _ in build_sets(config).train])
    if fabric.device.type == "cpu":
        keep_freed_memory()
    sam = instantiate(config.sam).to(fabric.device)
    augmentation = instantiate(config.augmentation, image_size=sam.image_size)
    made = OnlineViews(samples, augmentation, config.seed, views, config.data.decode)
    images = [samples.identify(index) for index in range(len(samples))]
    facts = cache_facts(as_plain(config), sam.image_size, sam.weights_sha256, views)
    missing: list[Place] = []

    def begin() -> None:
        places = begin_cache(folder, facts, images)
        missing.extend(places[number] for number in missing_shards(folder, places))
        if missing:
            _say_and_check(folder, sam, made, missing)

    _together(fabric, begin if fabric.is_global_zero else lambda: None)
    missing = fabric.broadcast(missing)
    _write(config, fabric, folder, sam, made, missing)
    return len(images)


@dataclass(frozen=True)
class _Stop:
    """A process got this signal."""

    signal: int


def _together(fabric: Fabric, action: Callable[[], Any]) -> None:
    """Does something in every process; what stops one of them stops all.

    Raises:
        HQSamError: the first process's that has one, in process 0; the others end quietly.
        SystemExit: after a signal.
    """
    outcome: HQSamError | _Stop | None = None
    try:
        action()
    except HQSamError as error:
        outcome = error
    except RuntimeError:
        # the same signal may have ended the loading processes
        if stop_requested() is None:
            raise
    if (number := stop_requested()) is not None:
        outcome = _Stop(number)
    outcomes = [fabric.broadcast(outcome, src=rank) for rank in range(fabric.world_size)]
    failure = next((each for each in outcomes if each is not None), None)
    if failure is None:
        return
    if not fabric.is_global_zero:
        # the status of the command is process 0's; Lightning kills that one when another's is not 0
        sys.exit(0)
    if isinstance(failure, _Stop):
        name = signal.Signals(failure.signal).name
        print(f"{name}: stopped, every shard in the folder is whole; the same command continues", file=sys.stderr)
        sys.exit(128 + failure.signal)
    raise failure


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


def _say_and_check(folder: Path, sam: FrozenSam, views: OnlineViews, missing: list[Place]) -> None:
    blank = torch.zeros(1, 3, sam.image_size, sam.image_size, dtype=torch.uint8, device=sam.device)
    size = entry_bytes(sam.encode(blank), views)
    entries = sum(place.entries for place in missing)
    log.info("%d views to encode, %.1f MB each: %.2f GB", entries, size / 1e6, entries * size / 1e9)
    require_space(folder, entries * size)


def _write(
    config: DictConfig, fabric: Fabric, folder: Path, sam: FrozenSam, views: OnlineViews, missing: list[Place]
) -> None:
    """Writes shards in rounds of one per process, after each of which all processes agree to go on."""
    assert views.count is not None
    own = missing[fabric.global_rank :: fabric.world_size]
    loader = DataLoader(
        Entries(views, views.count),
        sampler=[entry for place in own for entry in shard_entries(place)],
        batch_size=None,
        num_workers=config.loader.num_workers,
        worker_init_fn=_begin_loading,
    )
    made = iter(loader)

    def write(places: list[Place]) -> None:
        for place in places:
            write_shard(folder, place, list(islice(made, place.entries)), sam, config.batch.max_per_device)

    rounds = range(-(-len(missing) // fabric.world_size))
    with stop_on_signals():
        for turn in _followed(rounds, fabric.is_global_zero):
            _together(fabric, partial(write, own[turn : turn + 1]))


def _followed(rounds: range, is_shown: bool) -> Iterator[int]:
    """Goes through the rounds with a bar on a terminal, and a log line per tenth elsewhere."""
    if is_shown and sys.stdout.isatty():
        yield from track(rounds, "encoding")
        return
    for done, each in enumerate(rounds, start=1):
        yield each
        if is_shown and done * 10 // len(rounds) > (done - 1) * 10 // len(rounds):
            log.info("%d %% of the shards are written", done * 100 // len(rounds))


def _begin_loading(worker: int) -> None:
    # Ctrl-C reaches the whole group of processes; the main one finishes the shard and ends the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    begin_loading(worker)


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="train")
@clean_errors
def main(config: DictConfig) -> None:
    """Entry point of the command line."""
    precompute(with_debug(config))


if __name__ == "__main__":
    run_hydra(main, "train")
