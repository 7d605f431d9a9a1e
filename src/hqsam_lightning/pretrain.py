"""Trains a whole SAM from scratch: `python -m hqsam_lightning.pretrain`."""

from __future__ import annotations

import logging
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import hydra
import lightning as L
import torch
import wandb
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console

from hqsam_lightning import __version__
from hqsam_lightning.cli import clean_errors, conf_dir, run_hydra
from hqsam_lightning.data import PromptedDataModule
from hqsam_lightning.errors import CheckpointError, ConfigError
from hqsam_lightning.pretraining.blending import blend, check_start_share, copy_of_state
from hqsam_lightning.pretraining.module import PretrainingModule
from hqsam_lightning.pretraining.report import print_results, result_rows, round_to_half, write_results
from hqsam_lightning.reporting.run_facts import source_commit
from hqsam_lightning.sam.shipped import save_shipped
from hqsam_lightning.sam.state_dicts import state_dict_sha256
from hqsam_lightning.schema import check_config
from hqsam_lightning.session import (
    as_plain,
    build_datamodule,
    print_config,
    quieten,
    refuse_to_overwrite,
    require_full_step,
    with_debug,
)
from hqsam_lightning.training.checkpoint import check_recipe, read_checkpoint
from hqsam_lightning.training.fit_clock import FitClock

log = logging.getLogger(__name__)

RECIPE = (
    *("seed", "batch_size", "sam", "data", "augmentation", "prompts"),
    *("rounds", "precision", "loss", "optimizer", "scheduler", "ema", "trainer.gradient_clip_val"),
)


def pretrain(config: DictConfig) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Trains, validates, reports and saves one SAM.

    Args:
        config: composed from conf/pretrain.yaml.

    Returns:
        The rows of the result table, and the objects that the run was made of.

    Raises:
        HQSamError: for input that cannot work, before any long work starts.
    """
    config = check_config(config, "pretrain")
    quieten()
    L.seed_everything(config.seed, verbose=False)
    ema, clock = instantiate(config.ema), FitClock()
    # the average is taken before a checkpoint holds it
    callbacks = [ema, clock, *(instantiate(value) for value in config.callbacks.values())]
    loggers = [instantiate(value) for value in (config.get("logger") or {}).values()]
    try:
        trainer = instantiate(config.trainer, callbacks=callbacks, logger=loggers)
        _refuse_many_devices(trainer)
        module, datamodule = build(config)
        log.info("batch of %d scenes a step; %s", config.batch_size, datamodule.sets.describe())
        _check_checkpoints(config)
        for logger in loggers:
            logger.log_hyperparams(as_plain(config))
        facts = {}
        if not config.only_validate:
            start = copy_of_state(module.model.sam)
            trainer.fit(module, datamodule, ckpt_path=config.ckpt_path, weights_only=True)
            facts = _training_facts(config, trainer, clock.seconds)
            ema.hand_over(module)
            blend(module.model.sam, start, config.start_share)
            round_to_half(module.model.sam)
        trainer.validate(module, datamodule, verbose=False)
        rows = _report(config, module, facts)
    finally:
        # else the next point of a multirun would log into this one's W&B run
        wandb.finish()
    return rows, {"trainer": trainer, "module": module, "datamodule": datamodule, "callbacks": callbacks}


def build(config: DictConfig) -> tuple[PretrainingModule, PromptedDataModule]:
    """Builds the data first, so that what is missing is said before anything else; then SAM."""
    check_start_share(config.start_share, config.sam.weights)
    sets = instantiate(config.data)
    require_full_step(sets, "batch_size", config.batch_size)
    if len(sets.validation) != 1:
        raise ConfigError(
            f"data: expected one validation set, which the scores are of; got {sorted(sets.validation) or 'none'}; "
            "set data.holdout or data.val_sources"
        )
    if config.sam.precision != "fp32":
        raise ConfigError(
            f"sam.precision: expected fp32, since it is a frozen encoder's; got {config.sam.precision}; "
            f"set precision={config.sam.precision} for a SAM that learns"
        )
    sam = instantiate(config.sam)
    datamodule = build_datamodule(config, sets, sam, config.batch_size, accumulate=1)
    module = PretrainingModule(
        sam=sam.sam,
        name=sam.name,
        loss=instantiate(config.loss),
        optimizer=instantiate(config.optimizer),
        scheduler=instantiate(config.scheduler),
        rounds=config.rounds,
        precision=config.precision,
        config=as_plain(config),
    )
    return module, datamodule


def _refuse_many_devices(trainer: L.Trainer) -> None:
    if trainer.world_size > 1:
        raise ConfigError(
            f"trainer.devices: expected one device for pretraining; got {trainer.world_size}: BatchNorm's statistics "
            "and prompt embeddings that a batch leaves unused are not handled across processes; "
            "use trainer=cpu or trainer=gpu"
        )


def _check_checkpoints(config: DictConfig) -> None:
    if config.only_validate and (config.ckpt_path is not None or config.sam.weights == "random"):
        raise ConfigError(
            f"only_validate: expected weights to score in sam.weights, and no ckpt_path; got "
            f"sam.weights={config.sam.weights} and ckpt_path={config.ckpt_path}; set sam.weights=embedded or a file"
        )
    if config.ckpt_path is not None:
        checkpoint = read_checkpoint(Path(config.ckpt_path))
        if "averaging_state" not in checkpoint:
            raise CheckpointError(
                f"ckpt_path={config.ckpt_path}: expected a checkpoint that pretrain wrote; it is another command's; "
                "use checkpoints/last.ckpt of the run"
            )
        check_recipe(checkpoint, as_plain(config), 1, RECIPE)
    refuse_to_overwrite(Path(config.paths.output_dir), config.ckpt_path)


def _report(config: DictConfig, module: PretrainingModule, facts: dict[str, Any]) -> list[dict[str, Any]]:
    folder = Path(config.paths.output_dir)
    rows = result_rows(module.scores)
    commit = source_commit()
    run = {
        "name": config.name,
        "command": shlex.join(["python", "-m", "hqsam_lightning.pretrain", *sys.argv[1:]]),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "sam": config.sam.name,
        "weights_sha256": state_dict_sha256(module.model.sam.state_dict()),
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "validation_masks": module.scored_masks,
        **facts,
        "hqsam_lightning": __version__,
        **({"commit": commit} if commit else {}),
        "torch": torch.__version__,
    }
    write_results(folder, rows, run, as_plain(config))
    print_results(rows, Console())
    print(f"results in {folder}")
    if not config.only_validate:
        weights = folder / "sam.safetensors"
        save_shipped(module.model.sam, weights)
        print(f"use the model with sam={config.sam.name} sam.weights={weights}")
    return rows


def _training_facts(config: DictConfig, trainer: L.Trainer, seconds: float) -> dict[str, Any]:
    return {
        "seed": config.seed,
        "batch_size": config.batch_size,
        "rounds": config.rounds,
        "precision": config.precision,
        "steps": trainer.global_step,
        "start_share": config.start_share,
        "fit_seconds": round(seconds, 1),
    }


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="pretrain")
@clean_errors
def main(config: DictConfig) -> None:
    """Entry point of the command line."""
    config = check_config(with_debug(config), "pretrain")
    print_config(config)
    pretrain(config)


if __name__ == "__main__":
    run_hydra(main, "pretrain")
