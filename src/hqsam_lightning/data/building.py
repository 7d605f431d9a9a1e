"""Builds the data of a run from its config: sets, embedding cache and data module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hqsam_lightning.config import own_errors
from hqsam_lightning.data.cache import EmbeddingCache
from hqsam_lightning.data.datamodule import PromptedDataModule
from hqsam_lightning.data.folds import Folds, cross_fitted
from hqsam_lightning.data.framing import margins_of
from hqsam_lightning.data.sets import DataSets
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.runtime.process_settings import begin_loading


def require_full_step(sets: DataSets, key: str, size: int) -> None:
    """Raises a ConfigError unless an epoch holds a whole optimiser step, whose size in samples the key gives."""
    if not sets.epoch_size:
        raise ConfigError(
            f"data: expected something to train on; got sets that only validate, on {', '.join(sets.validation)}; "
            "choose other data=... and keep these to validate on: '+data@data.validation=...'"
        )
    if sets.epoch_size < size:
        raise ConfigError(
            f"{key}: expected at most the {sets.epoch_size} training samples of an epoch; got {size}; "
            f"lower {key} or add data"
        )


def build_sets(config: DictConfig) -> DataSets:
    """Finds what a run trains and validates on.

    Raises:
        HQSamError: the sets cannot be used; one of sets within others, such as ``data.validation``, names that key.
        ConfigError: what data._target_ names gives no `DataSets`.
    """
    with own_errors("data"):
        sets = instantiate(config.data)
    if not isinstance(sets, DataSets):
        raise ConfigError(
            f"data._target_: expected a function that returns hqsam_lightning.data.DataSets; {config.data._target_} "
            f"returned {type(sets).__name__}"
        )
    return sets


def build_run_sets(config: DictConfig) -> tuple[DataSets, Folds | None]:
    """Finds what a run trains and validates on: its own photos in parts where ``folds`` says so and none are given.

    Raises:
        HQSamError: see `build_sets` and `hqsam_lightning.data.folds.cross_fitted`.
    """
    if config.folds is None:
        return build_sets(config), None
    kept = {"data": {"holdout": 0}} if "holdout" in config.data else {}
    sets = build_sets(cast(DictConfig, OmegaConf.merge(config, kept)))
    return (sets, None) if sets.validation else cross_fitted(sets, config.folds)


def open_cache(config: DictConfig, features: Mapping[str, Any]) -> EmbeddingCache | None:
    """Opens the embedding cache that `cache` names; None where it names none.

    Raises:
        CacheError: it is not there, or not of this run's features, see `hqsam_lightning.recipe.features_of`.
    """
    if config.cache is None:
        return None
    return EmbeddingCache(Path(config.cache).expanduser(), {**features, "views": config.augmentations_per_image})


def validation_margins(config: DictConfig) -> list[float | None]:
    """Of the frames of a run's validation; pretraining, and runs of older versions, show whole photos."""
    return margins_of(config.get("frame", "photo"), config.get("margin", 0.0))


def build_datamodule(
    config: DictConfig,
    sets: DataSets,
    image_size: int,
    mask_input_size: int,
    batch_size: int,
    accumulate: int,
    cache: EmbeddingCache | None = None,
) -> PromptedDataModule:
    """Builds the data module for a SAM's input frame; see `PromptedDataModule` for the arguments."""
    datamodule: PromptedDataModule = instantiate(config.datamodule)(
        sets=sets,
        augmentation=instantiate(config.augmentation, image_size=image_size),
        prompts=instantiate(config.prompts),
        val_prompts={name: instantiate(prompts) for name, prompts in config.val_prompts.items()},
        image_size=image_size,
        mask_input_size=mask_input_size,
        batch_size=batch_size,
        accumulate=accumulate,
        seed=config.seed,
        num_workers=config.loader.num_workers,
        loader_timeout=config.loader.timeout,
        begin_loading=begin_loading(config),
        views=config.get("augmentations_per_image"),
        margins=validation_margins(config),
        cache=cache,
    )
    return datamodule
