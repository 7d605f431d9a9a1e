"""What every training command does around its model: config and data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hqsam_lightning.cli import full_key, own_error
from hqsam_lightning.data import DataSets, PromptedDataModule
from hqsam_lightning.data.cache import EmbeddingCache, cache_facts
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.runtime.process_settings import begin_loading
from hqsam_lightning.sam import FrozenSam

VIEWS_KEYS = ("cache", "views", "decode")
"""Keys of data that say how views are made, whatever the sets."""


def as_plain(config: DictConfig) -> dict[str, Any]:
    """The resolved config as plain values, which checkpoints and loggers can hold."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


def with_debug(config: DictConfig) -> DictConfig:
    """Lays the overrides of `debug=...` over everything else, also over an experiment's."""
    merged = OmegaConf.merge(config, config.get("debug") or {})
    assert isinstance(merged, DictConfig)
    return merged


def require_full_step(sets: DataSets, key: str, size: int) -> None:
    """Makes sure that an epoch holds at least one optimiser step.

    Args:
        sets: what is trained on.
        key: of the config, that gives the size.
        size: samples a step.

    Raises:
        ConfigError: when it does not.
    """
    if sets.epoch_size < size:
        raise ConfigError(
            f"{key}: expected at most the {sets.epoch_size} training samples of an epoch; got {size}; "
            f"lower {key} or add data"
        )


def build_sets(config: DictConfig) -> DataSets:
    """Finds what a run trains and validates on.

    Args:
        config: with data; its keys `VIEWS_KEYS` say how views are made of the sets.

    Raises:
        HQSamError: the sets cannot be used; one of sets within others, such as ``data.validation``, names that key.
        ConfigError: what data._target_ names gives no `DataSets`.
    """
    values = OmegaConf.to_container(config.data, resolve=True)
    assert isinstance(values, dict)
    try:
        sets = instantiate({key: value for key, value in values.items() if key not in VIEWS_KEYS})
    except InstantiationException as error:
        own, inside = own_error(error), full_key(error)
        if own is None:
            raise
        if not inside:
            raise own from own.__cause__
        hint = f"these sets are data.{inside}: write data.{inside}.KEY where this names data.KEY"
        raise type(own)(f"{own}\n{hint}") from own
    if not isinstance(sets, DataSets):
        raise ConfigError(
            f"data._target_: expected a function that returns hqsam_lightning.data.DataSets; {values['_target_']} "
            f"returned {type(sets).__name__}"
        )
    return sets


def open_cache(config: DictConfig, sam: FrozenSam) -> EmbeddingCache | None:
    """Opens the embedding cache that data.cache names; None where it names none.

    Raises:
        CacheError: it is not there, or not of this run's features.
    """
    if config.data.cache is None:
        return None
    facts = cache_facts(as_plain(config), sam.image_size, sam.weights_sha256, config.data.views)
    return EmbeddingCache(Path(config.data.cache).expanduser(), facts)


def build_datamodule(
    config: DictConfig,
    sets: DataSets,
    sam: FrozenSam,
    batch_size: int,
    accumulate: int,
    views: int | None = None,
    cache: EmbeddingCache | None = None,
    decode: str = "exact",
) -> PromptedDataModule:
    """Builds the data module for the frame of a SAM.

    Args:
        config: with augmentation, prompts, val_prompts, seed and loader.
        sets: what to train and validate on.
        sam: gives the sizes of the input frame and the mask input.
        batch_size: images a process and forward pass.
        accumulate: forward passes an optimiser step.
        views: augmented views of a training sample; None is a new one every time.
        cache: of the training samples' views.
        decode: of the training photos, see `OnlineViews`.
    """
    return PromptedDataModule(
        sets=sets,
        augmentation=instantiate(config.augmentation, image_size=sam.image_size),
        prompts=instantiate(config.prompts),
        val_prompts={name: instantiate(prompts) for name, prompts in config.val_prompts.items()},
        image_size=sam.image_size,
        mask_input_size=sam.mask_input_size,
        batch_size=batch_size,
        accumulate=accumulate,
        seed=config.seed,
        num_workers=config.loader.num_workers,
        loader_timeout=config.loader.timeout,
        begin_loading=begin_loading(config),
        views=views,
        cache=cache,
        decode=decode,
    )
