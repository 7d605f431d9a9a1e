"""Trains a whole SAM from scratch: `python -m hqsam_lightning.pretrain`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import hydra
import lightning as L
from hydra.utils import instantiate
from omegaconf import DictConfig

from hqsam_lightning.cli import clean_errors, run_hydra
from hqsam_lightning.config import as_plain, conf_dir
from hqsam_lightning.data import PromptedDataModule
from hqsam_lightning.data.building import build_datamodule, build_sets, require_full_step
from hqsam_lightning.data.contact_sheet import write_contact_sheets
from hqsam_lightning.data.fingerprint import fingerprint
from hqsam_lightning.data.watched_loading import loader_errors
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.pretraining.ema import WeightEMA, blend, copy_of_state
from hqsam_lightning.pretraining.module import PretrainingModule
from hqsam_lightning.reporting.pretraining_report import round_to_half, score_table, write_results
from hqsam_lightning.reporting.results import print_table, wide_console
from hqsam_lightning.run_names import command_facts
from hqsam_lightning.runtime.code_facts import version_facts
from hqsam_lightning.runtime.process_settings import with_process_settings
from hqsam_lightning.runtime.signals import stops_deferred
from hqsam_lightning.sam.shipped import save_shipped
from hqsam_lightning.sam.state_dicts import state_dict_sha256
from hqsam_lightning.schema import check_config
from hqsam_lightning.training.checkpoint import check_recipe
from hqsam_lightning.training.run_summary import log_summary
from hqsam_lightning.training.session import Session, open_session

log = logging.getLogger(__name__)

UNTRAINED = ("random", "imagenet")
"""Values of sam.weights that are no trained SAM."""


@with_process_settings
@loader_errors()
def pretrain(config: DictConfig) -> tuple[dict[str, float], dict[str, Any]]:
    """Trains, validates, reports and saves one SAM.

    Args:
        config: composed from conf/pretrain.yaml.

    Returns:
        The mIoU of each protocol, and the objects that the run was made of.

    Raises:
        HQSamError: for input that cannot work, before any long work starts.
    """
    config = check_config(config, "pretrain")
    _check_only_validate(config)
    ema = instantiate(config.ema)
    # the average is taken before a checkpoint holds it
    with open_session(config, "pretrain", first=[ema]) as session:
        return _pretrain(config, session, ema)


def _pretrain(config: DictConfig, session: Session, ema: WeightEMA) -> tuple[dict[str, float], dict[str, Any]]:
    trainer = session.trainer
    _refuse_many_devices(trainer)
    module, datamodule = build(config)
    _summarise(config, trainer, module, datamodule, session.ckpt_path)
    module.data_facts = fingerprint(datamodule.sets)
    if session.checkpoint is not None:
        check_recipe(session.checkpoint, as_plain(config), module.data_facts)
    for logger in trainer.loggers:
        logger.log_hyperparams(as_plain(config))
    if not config.only_validate:
        write_contact_sheets(datamodule.sets, session.folder, config.seed)
        start = copy_of_state(module.model.sam)
        with stops_deferred():
            trainer.fit(module, datamodule, ckpt_path=session.ckpt_path, weights_only=True)
        ema.hand_over(module)
        blend(module.model.sam, start, config.start_share)
        round_to_half(module.model.sam)
    with stops_deferred():
        trainer.validate(module, datamodule, verbose=False)
    with stops_deferred():
        _report(config, session, module)
    return module.scores, {"trainer": trainer, "module": module, "datamodule": datamodule}


def build(config: DictConfig) -> tuple[PretrainingModule, PromptedDataModule]:
    """Builds the data first, so that what is missing is reported before anything else; then SAM."""
    if config.start_share and config.sam.weights in UNTRAINED:
        raise ConfigError(
            f"start_share: expected 0 for a run that does not begin with a trained SAM; got {config.start_share}; "
            "set sam.weights=embedded or a file"
        )
    sets = build_sets(config)
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
    datamodule = build_datamodule(config, sets, sam.image_size, sam.mask_input_size, config.batch_size, accumulate=1)
    module = PretrainingModule(
        sam=sam.sam,
        name=sam.name,
        loss=instantiate(config.loss),
        optimizer=instantiate(config.optimizer),
        decoder_lr_scale=config.decoder_lr_scale,
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


def _check_only_validate(config: DictConfig) -> None:
    if config.only_validate and (config.ckpt_path is not None or config.sam.weights in UNTRAINED):
        raise ConfigError(
            f"only_validate: expected weights to score in sam.weights, and no ckpt_path; got "
            f"sam.weights={config.sam.weights} and ckpt_path={config.ckpt_path}; set sam.weights=embedded or a file"
        )


def _summarise(
    config: DictConfig,
    trainer: L.Trainer,
    module: PretrainingModule,
    datamodule: PromptedDataModule,
    resumed_from: Path | None,
) -> None:
    count = sum(parameter.numel() for parameter in module.parameters())
    model = f"SAM {module.name} (weights: {config.sam.weights}), {count:,} parameters"
    if config.only_validate:
        log.info("scoring %s; %s", model, datamodule.sets.describe())
        return
    batch = f"{config.batch_size} images, {config.rounds} round(s) of prompts"
    log_summary(config, trainer, f"{model}, all trained", datamodule.sets, config.batch_size, batch, resumed_from)


def _report(config: DictConfig, session: Session, module: PretrainingModule) -> None:
    folder, trained = session.folder, not config.only_validate
    facts: dict[str, Any] = {
        "name": config.name,
        **command_facts("hqsam_lightning.pretrain"),
        "sam": config.sam.name,
        "weights_sha256": state_dict_sha256(module.model.sam.state_dict()),
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "validation_masks": module.scored_masks,
    }
    if trained:
        facts |= {key: config[key] for key in ("seed", "batch_size", "rounds", "precision")}
        facts |= {"steps": session.trainer.global_step, "start_share": config.start_share}
        facts["fit_seconds"] = round(session.clock.seconds, 1)
        save_shipped(module.model.sam, folder / "sam.safetensors")
    # last: a folder with metrics.json holds a finished run
    write_results(folder, module.scores, {**facts, **version_facts()}, as_plain(config))
    print_table(score_table(module.scores), "pretraining", wide_console())
    print(f"results in {folder}")
    if trained:
        print(f"use the model with sam={config.sam.name} sam.weights={folder / 'sam.safetensors'}")


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="pretrain")
@clean_errors
def main(config: DictConfig) -> None:
    """Entry point of the command line."""
    pretrain(config)


if __name__ == "__main__":
    run_hydra(main, "pretrain")
