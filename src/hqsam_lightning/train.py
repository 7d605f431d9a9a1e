"""Trains variants of HQ-SAM over one frozen SAM: `python -m hqsam_lightning.train +experiment=quickstart`."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import hydra
import lightning as L
import wandb
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console

from hqsam_lightning.cli import clean_errors, conf_dir, run_hydra
from hqsam_lightning.data import PromptedDataModule
from hqsam_lightning.data.cache import EmbeddingCache
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.heads import Head
from hqsam_lightning.memory import keep_freed_memory
from hqsam_lightning.reporting.results import print_results, result_rows, write_results
from hqsam_lightning.reporting.run_facts import parameter_counts, run_facts
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.schema import check_config
from hqsam_lightning.session import (
    as_plain,
    build_datamodule,
    build_sets,
    open_cache,
    print_config,
    quieten,
    refuse_to_overwrite,
    require_full_step,
    with_debug,
)
from hqsam_lightning.training.batching import BatchPlan, plan_batch
from hqsam_lightning.training.checkpoint import check_checkpoint, check_recipe, read_checkpoint
from hqsam_lightning.training.fit_clock import FitClock
from hqsam_lightning.training.inference_speed import InferenceSpeed
from hqsam_lightning.training.loggers import log_results
from hqsam_lightning.training.module import HQSamModule
from hqsam_lightning.training.panels import ImagePanels, save_panels

log = logging.getLogger(__name__)


def train(config: DictConfig) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Trains, validates and reports one run.

    Args:
        config: composed from conf/train.yaml.

    Returns:
        The rows of the result table, and the objects that the run was made of.

    Raises:
        HQSamError: for input that cannot work, before any long work starts.
    """
    config = check_config(config, "train")
    quieten()
    L.seed_everything(config.seed, verbose=False)
    callbacks = {name: instantiate(value) for name, value in config.callbacks.items()}
    clock = FitClock()
    loggers = [instantiate(value) for value in (config.get("logger") or {}).values()]
    try:
        trainer = instantiate(config.trainer, callbacks=[clock, *callbacks.values()], logger=loggers)
        if trainer.strategy.root_device.type == "cpu":
            keep_freed_memory()
        if not trainer.is_global_zero:
            logging.disable(logging.WARNING)
        _refuse_multirun_on_many_devices(trainer)
        plan = plan_batch(config.batch.total, config.batch.max_per_device, trainer.world_size)
        trainer.accumulate_grad_batches = plan.accumulate
        module, datamodule = build(config, plan)
        log.info("%s; %s", plan.describe(), datamodule.sets.describe())
        _check_checkpoints(config, module, trainer.world_size)
        for logger in loggers:
            logger.log_hyperparams(as_plain(config))
        with _together(trainer):
            trainer.fit(module, datamodule, ckpt_path=config.ckpt_path, weights_only=True)
        if datamodule.sets.validation and module.scored_step != trainer.global_step:
            trainer.validate(module, datamodule, verbose=False)
        facts = run_facts(config, trainer, module, plan, datamodule.sets.describe(), clock)
        for callback in callbacks.values():
            if isinstance(callback, InferenceSpeed):
                facts["inference"] = callback.costs
        rows = _report(config, trainer, module, list(callbacks.values()), facts)
    finally:
        # else the next point of a multirun would log into this one's W&B run
        wandb.finish()
    return rows, {"trainer": trainer, "module": module, "datamodule": datamodule, "callbacks": callbacks}


def build(config: DictConfig, plan: BatchPlan) -> tuple[HQSamModule, PromptedDataModule]:
    """Builds the data first, so that what is missing is said before weights are fetched; then SAM and its variants."""
    sets = build_sets(config)
    require_full_step(sets, "batch.total", plan.total)
    sam = instantiate(config.sam)
    cache = open_cache(config, sam)
    datamodule = build_datamodule(
        config,
        sets,
        sam,
        plan.per_device,
        plan.accumulate,
        config.data.views,
        cache,
        config.data.decode,
        config.also_val_prompts,
    )
    module = build_module(config, sam, datamodule.val_names)
    _refuse_cache(cache, module.heads)
    return module, datamodule


def build_module(config: DictConfig, sam: FrozenSam, val_sets: Sequence[str]) -> HQSamModule:
    """Builds the variants, their losses and their optimiser over a SAM.

    Args:
        config: composed from conf/train.yaml.
        sam: the frozen model.
        val_sets: names of the validation sets.
    """
    variants = {name: instantiate(head, sam=sam, seed=config.seed) for name, head in config.variants.items()}
    return HQSamModule(
        sam=sam,
        variants=variants,
        loss=instantiate(config.loss),
        optimizer=instantiate(config.optimizer),
        scheduler=instantiate(config.scheduler),
        val_sets=val_sets,
        output=config.evaluation.output,
        dilation_ratio=config.evaluation.dilation_ratio,
        config=as_plain(config),
        in_turn=config.in_turn,
        own_losses={name: instantiate(loss) for name, loss in config.own_losses.items()},
    )


def _refuse_cache(cache: EmbeddingCache | None, variants: dict[str, Head]) -> None:
    looking = [name for name, head in variants.items() if head.needs_pixels]
    if cache is not None and looking:
        raise ConfigError(
            f"data.cache: expected null, because {', '.join(looking)} need the images themselves, got {cache.folder}; "
            "set data.cache=null, or leave these variants out"
        )


def _check_checkpoints(config: DictConfig, module: HQSamModule, world_size: int) -> None:
    if config.ckpt_path is not None:
        checkpoint = read_checkpoint(Path(config.ckpt_path))
        check_checkpoint(checkpoint, module.trainable_state, module.sam.name, module.sam.weights_sha256)
        check_recipe(checkpoint, as_plain(config), world_size)
    refuse_to_overwrite(Path(config.paths.output_dir), config.ckpt_path)


def _refuse_multirun_on_many_devices(trainer: L.Trainer) -> None:
    environment = getattr(trainer.strategy, "cluster_environment", None)
    launches_itself = environment is not None and not environment.creates_processes_externally
    is_multirun = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    if is_multirun and launches_itself and trainer.world_size > 1:
        raise ConfigError(
            f"trainer.devices: expected one device a point of a multirun; got {trainer.world_size}, whose processes "
            "would each run the whole sweep; use trainer=gpu or trainer=cpu, or start each point with torchrun"
        )


@contextmanager
def _together(trainer: L.Trainer) -> Iterator[None]:
    """When this process fails, the ones it launched end too, instead of waiting for it in a collective."""
    try:
        yield
    except BaseException:
        if trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(signal.SIGTERM)
        raise


def _report(
    config: DictConfig, trainer: L.Trainer, module: HQSamModule, callbacks: list[L.Callback], facts: dict[str, Any]
) -> list[dict[str, Any]]:
    rows = result_rows(module.scores, parameter_counts(module))
    if trainer.is_global_zero:
        folder = Path(config.paths.output_dir)
        panels = [panel for callback in callbacks if isinstance(callback, ImagePanels) for panel in callback.panels]
        picture = "results.png" if panels else None
        if panels:
            save_panels(panels, folder / "results.png")
        log_results(trainer.loggers, rows)
        write_results(folder, rows, module.scores, facts, as_plain(config), picture)
        if rows:
            print_results(rows, Console())
        else:
            log.warning("no validation set: nothing was scored; see data.val_sources and data.holdout")
        print(f"results in {folder}")
    return rows


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="train")
@clean_errors
def main(config: DictConfig) -> dict[str, float]:
    """Entry point of the command line; gives what a search goes by."""
    config = check_config(with_debug(config), "train")
    print_config(config)
    return train(config)[1]["module"].objectives


class _Entry(ModuleType):
    """Makes `hqsam_lightning.train(config)` the function, though the name is this module's."""

    def __call__(self, config: DictConfig) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        return train(config)


sys.modules[__name__].__class__ = _Entry


if __name__ == "__main__":
    run_hydra(main, "train")
