"""What a run is about to do, in a few lines; the whole config is in the run's folder."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig

from hqsam_lightning.data import DataSets
from hqsam_lightning.escaping import printable
from hqsam_lightning.run_names import chosen_experiments

log = logging.getLogger(__name__)

MINIATURE = "miniature"
"""Value of `setting` in conf/setting/miniature.yaml."""
PAPER = "hqsam_vit_l"
"""The experiment that brings the paper's setting."""
SCENES = ("synthetic_sets", "also_validate_on")
"""Functions, of `hqsam_lightning.data`, that train on procedural scenes."""
LISTED = 8
"""Names that a line lists; the others are counted."""


@rank_zero_only
def log_summary(
    config: DictConfig,
    trainer: L.Trainer,
    model: str,
    sets: DataSets,
    images: int,
    batch: str,
    resumed_from: Path | None,
) -> None:
    """Logs what is trained, on which data, for how long, where to, and from where.

    Args:
        config: of the run.
        trainer: that will run it.
        model: what is trained, see `describe_variants`.
        sets: what is read.
        images: number per optimiser step.
        batch: how a step's images are spread over devices.
        resumed_from: the checkpoint that the run continues from; None begins a new one.
    """
    folder = Path(config.paths.output_dir)
    device = trainer.strategy.root_device.type
    lines = {
        "run": f"{config.name}, seed {config.seed}, on {trainer.world_size} {device} device(s)",
        "model": model,
        "train": _training(sets),
        "validate": _listed([f"{name} {len(samples)}" for name, samples in sets.validation.items()]) or "nothing",
        "length": _length(trainer, sets.epoch_size, images),
        "step": batch,
        "resume": f"from {resumed_from}" if resumed_from else "no, a new run",
        "folder": str(folder),
        "config": f"{folder / '.hydra' / 'config.yaml'}; --cfg job --resolve prints it",
    }
    log.info("%s", _aligned(lines))


@rank_zero_only
def log_setting(config: DictConfig) -> None:
    """Logs that a run is the miniature, before anything is read, and what to add for the paper's recipe."""
    if config.get("setting") != MINIATURE:
        return
    sam = f"SAM {config.sam.name} at {config.sam.image_size} px"
    lines = {
        "setting": f"the miniature: {sam}, accelerator {config.trainer.accelerator}, batch of {config.batch.total}; it "
        "compares variants in minutes, its numbers cannot be compared with the paper's",
        "paper": _papers_setting(config),
    }
    log.info("%s", _aligned(lines))


def _papers_setting(config: DictConfig) -> str:
    chosen = [name for name in chosen_experiments() if name != "quickstart"]
    experiments = f"'+experiment=[{', '.join([PAPER, *chosen])}]'" if chosen else f"+experiment={PAPER}"
    command = f"python -m hqsam_lightning.train {experiments} paths.data_dir=FOLDER"
    whole = f"{command} (HQSeg-44K, 8 GPUs; more in README, 'Train for real')"
    if config.data._target_.rpartition(".")[2] in SCENES:
        return whole
    return (
        "add setting=paper sam=vit_b for its recipe on this data; up to a thousand images want +experiment=own_photos "
        f"(README, 'Your own photos'). Its whole setting: {whole}"
    )


def describe_variants(sam: Any, parameters: dict[str, int]) -> str:
    """Such as "SAM nano (weights de953d5bd46b), frozen; hq: 202,752 trainable parameters"."""
    learned = [f"{name}: {count:,} trainable parameters" for name, count in parameters.items() if count]
    return f"SAM {sam.name} (weights {sam.weights_sha256[:12]}), frozen; {_listed(learned)}"


def _training(sets: DataSets) -> str:
    """Sources by name and number of images, and their weights where these differ."""
    named = []
    for samples, weight in sets.train:
        name = getattr(samples, "name", type(samples).__name__)
        named.append(f"{name} {len(samples)}" + ("" if weight == 1 else f" (weight {weight:g})"))
    return f"{sum(len(samples) for samples, _ in sets.train)} images of {len(sets.train)} source(s): {_listed(named)}"


def _length(trainer: L.Trainer, epoch_size: int, images: int) -> str:
    steps = epoch_size // images
    parts = []
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        parts.append(f"{trainer.max_epochs} epoch(s) of {steps} step(s)")
    if trainer.max_steps > 0:
        parts.append(f"at most {trainer.max_steps} steps")
    every = trainer.check_val_every_n_epoch
    if every is not None and not math.isinf(every):
        parts.append(f"validated every {every} epoch(s)")
    else:
        parts.append(f"validated every {trainer.val_check_interval} steps")
    return ", ".join([*parts, "the remaining time is logged from the first steps on"])


def _listed(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _aligned(lines: Mapping[str, str]) -> str:
    return "\n".join(["", *(f"  {key:<9} {printable(value)}" for key, value in lines.items())])
