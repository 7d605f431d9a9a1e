"""Trains variants of HQ-SAM over one frozen SAM: `python -m hqsam_lightning.train +experiment=quickstart`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import lightning as L
import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig

from hqsam_lightning.cli import clean_errors, run_hydra
from hqsam_lightning.config import as_plain, conf_dir, make_callable
from hqsam_lightning.data import DataSets, PromptedDataModule
from hqsam_lightning.data.building import (
    build_datamodule,
    build_run_sets,
    open_cache,
    require_full_step,
    validation_margins,
)
from hqsam_lightning.data.cache import EmbeddingCache
from hqsam_lightning.data.contact_sheet import write_contact_sheets
from hqsam_lightning.data.fingerprint import fingerprint
from hqsam_lightning.data.folds import Folds
from hqsam_lightning.data.framing import Stretch
from hqsam_lightning.data.watched_loading import loader_errors
from hqsam_lightning.errors import ConfigError, choice_error
from hqsam_lightning.evaluation.scorer import Scorer, build_scorer
from hqsam_lightning.evaluation_config import open_named
from hqsam_lightning.heads import Head
from hqsam_lightning.recipe import features_of
from hqsam_lightning.report import paper_table_path, print_beside_paper
from hqsam_lightning.reporting.metric_facts import facts_of
from hqsam_lightning.reporting.paper import read_paper_table
from hqsam_lightning.reporting.results import Results
from hqsam_lightning.reporting.run_report import report_run
from hqsam_lightning.run_names import is_multirun
from hqsam_lightning.runtime.process_settings import with_process_settings
from hqsam_lightning.runtime.signals import stops_deferred
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.schema import check_config
from hqsam_lightning.training.averaging import AveragedHeads
from hqsam_lightning.training.batching import BatchPlan, plan_batch
from hqsam_lightning.training.callbacks.best_checkpoint import BestCheckpoints, BestWeights
from hqsam_lightning.training.callbacks.inference_speed import InferenceSpeed
from hqsam_lightning.training.checkpoint import INFO_KEY, check_checkpoint, check_recipe
from hqsam_lightning.training.module import HQSamModule
from hqsam_lightning.training.monitors import check_monitors
from hqsam_lightning.training.run_facts import parameter_counts, run_facts
from hqsam_lightning.training.run_folder import is_first_process
from hqsam_lightning.training.run_summary import describe_variants, log_summary
from hqsam_lightning.training.session import Session, open_session
from hqsam_lightning.training.stopping import stop_if_agreed, together
from hqsam_lightning.training.weights import begin_from, build_head


@with_process_settings
@loader_errors()
def train(config: DictConfig) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Trains, validates and reports one run.

    Args:
        config: composed from conf/train.yaml.

    Returns:
        The means of the result table, see `hqsam_lightning.evaluation.table.summarise`, and the objects that the run
        was made of.

    Raises:
        HQSamError: for input that cannot work, before any long work starts.
    """
    config = check_config(config, "train")
    averages = [] if config.average is None else [AveragedHeads(config.average)]
    with open_session(config, "train", averages) as session:
        return _train(config, session)


def _train(config: DictConfig, session: Session) -> tuple[pd.DataFrame, dict[str, Any]]:
    trainer, callbacks = session.trainer, session.callbacks
    _refuse_multirun_on_many_devices(trainer)
    plan = plan_batch(config.batch.total, config.batch.max_per_device, trainer.world_size)
    trainer.accumulate_grad_batches = plan.accumulate
    module, datamodule = build(config, plan)
    check_monitors(callbacks, module)
    model = describe_variants(module.sam, parameter_counts(module))
    log_summary(config, trainer, model, datamodule.sets, plan.total, plan.describe(), session.ckpt_path)
    _begin(session.checkpoint, config, module, datamodule.sets)
    for logger in trainer.loggers:
        logger.log_hyperparams(as_plain(config))
    if trainer.is_global_zero:
        write_contact_sheets(datamodule.sets, session.folder, config.seed)
    with together(trainer), stops_deferred():
        trainer.fit(module, datamodule, ckpt_path=session.ckpt_path, weights_only=True)
        stop_if_agreed(trainer)
        if datamodule.sets.validation and module.scored_step != trainer.global_step:
            trainer.validate(module, datamodule, verbose=False)
            stop_if_agreed(trainer)
    facts = run_facts(config, trainer, module, plan, datamodule.sets.describe(), session.clock)
    best: dict[str, BestWeights] = {}
    for callback in callbacks.values():
        if isinstance(callback, InferenceSpeed):
            facts["inference"] = callback.costs
        if isinstance(callback, BestCheckpoints):
            best |= callback.best
    with stops_deferred():
        results = Results(module.scores, facts_of(module.scorer.metrics), facts, as_plain(config), best)
        report_run(session.folder, results, trainer, list(callbacks.values()))
    return results.means, {"trainer": trainer, "module": module, "datamodule": datamodule, "callbacks": callbacks}


def build(config: DictConfig, plan: BatchPlan) -> tuple[HQSamModule, PromptedDataModule]:
    """Builds the data first, so that what is missing is reported before weights are fetched; then SAM and variants."""
    sets, folds = build_run_sets(config)
    require_full_step(sets, "batch.total", plan.total)
    sam = instantiate(config.sam)
    cache = open_cache(config, features_of(as_plain(config), sam.weights_sha256))
    datamodule = build_datamodule(
        config, sets, sam.image_size, sam.mask_input_size, plan.per_device, plan.accumulate, cache
    )
    module = build_module(config, sam, list(sets.validation), folds)
    _refuse_cache(cache, module.heads)
    return module, datamodule


def build_module(
    config: DictConfig, sam: FrozenSam, val_sets: Sequence[str], folds: Folds | None = None
) -> HQSamModule:
    """Builds the variants, their losses and their optimiser over a SAM.

    Args:
        config: of the run.
        sam: the frozen model.
        val_sets: names of the validation sets.
        folds: see `HQSamModule`.

    Raises:
        ConfigError: evaluation.metric is none of the run's metrics.
    """
    if config.evaluation.metric not in config.metrics:
        raise choice_error("evaluation.metric", config.evaluation.metric, sorted(config.metrics))
    variants = {name: build_head(head, sam, config.seed) for name, head in config.variants.items()}
    return instantiate(config.module)(
        sam=sam,
        variants=variants,
        loss=instantiate(config.loss),
        optimizer=instantiate(config.optimizer),
        scheduler=instantiate(config.scheduler),
        scorer=_build_scorer(config, val_sets, sam.image_size),
        output=config.evaluation.output,
        variant=config.evaluation.variant,
        config=as_plain(config),
        sequential_backward=config.sequential_backward,
        variant_losses={name: instantiate(loss) for name, loss in config.variant_losses.items()},
        **({} if folds is None else {"folds": folds}),
    )


def _build_scorer(config: DictConfig, val_sets: Sequence[str], image_size: int) -> Scorer:
    """Scores what validation shows; whole photos, where there are any, have the main prompts."""
    frames = [Stretch(image_size, margin) for margin in validation_margins(config)]
    prompts = [name + frame.suffix for frame in frames for name in config.val_prompts]
    return build_scorer(config, val_sets, prompts, frames[0])


def _refuse_cache(cache: EmbeddingCache | None, variants: dict[str, Head]) -> None:
    looking = [name for name, head in variants.items() if head.needs_pixels]
    if cache is not None and looking:
        raise ConfigError(
            f"cache: expected null, because {', '.join(looking)} need the images themselves, got {cache.folder}; "
            "set cache=null, or leave these variants out"
        )


def _begin(checkpoint: dict[str, Any] | None, config: DictConfig, module: HQSamModule, sets: DataSets) -> None:
    """Gives the variants the weights that they begin from, or makes sure that the resumed run is this one."""
    if is_first_process():
        module.data_facts = fingerprint(sets)
    if checkpoint is not None:
        check_checkpoint(checkpoint, module.trainable_state, module.sam.name, module.sam.weights_sha256)
    before = None if checkpoint is None else checkpoint[INFO_KEY]
    read = partial(open_named, cache_dir=config.paths.cache_dir)
    module.begun_from = begin_from(module.heads, config.variants, module.sam, before, read)
    if checkpoint is None and module.fold_heads is not None:
        module.fold_heads.begin_as(module.trained)
    if checkpoint is not None and module.data_facts is not None:
        check_recipe(checkpoint, as_plain(config), module.data_facts, module.begun_from)


def _refuse_multirun_on_many_devices(trainer: L.Trainer) -> None:
    environment = getattr(trainer.strategy, "cluster_environment", None)
    launches_itself = environment is not None and not environment.creates_processes_externally
    if is_multirun() and launches_itself and trainer.world_size > 1:
        raise ConfigError(
            f"trainer.devices: expected one device per trial of a multirun; got {trainer.world_size}, whose processes "
            "would each run the whole sweep; use trainer=gpu or trainer=cpu, or start each trial with torchrun"
        )


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="train")
@clean_errors
def main(config: DictConfig) -> dict[str, float]:
    """Entry point of the command line; gives the scores that a search maximises."""
    if config.paper_table is not None:
        read_paper_table(paper_table_path(config.paper_table))
    objects = train(config)[1]
    if config.paper_table is not None and objects["trainer"].is_global_zero and not is_multirun():
        print_beside_paper([Path(config.paths.output_dir)], config.paper_table)
    module = objects["module"]
    return module.objectives.get(module.searched, {})


make_callable(__name__, train)


if __name__ == "__main__":
    run_hydra(main, "train")
