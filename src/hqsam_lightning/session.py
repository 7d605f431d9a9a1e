"""What every training command does around its model: config, warnings and data."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from hydra.utils import instantiate
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.syntax import Syntax

from hqsam_lightning.data import DataSets, PromptedDataModule
from hqsam_lightning.data.cache import EmbeddingCache, cache_facts
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.sam import FrozenSam

VIEWS_KEYS = ("cache", "views", "decode")
"""Keys of data that say how views are made, whatever the sets."""

EXPECTED_WARNINGS = (
    r"Found \d+ module\(s\) in eval mode",  # the frozen SAM
    r"The '\w+_dataloader' does not have many workers",  # loader.num_workers is the user's choice
    r"It is recommended to use `self.log\('val/",  # the metrics are summed over processes before they are logged
    r"`ModelCheckpoint\(monitor='val/mbiou'\)` could not find",  # a run that ends within an epoch validates afterwards
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    r"Checkpoint directory .* exists and is not empty",  # a run resumed in its own folder
    r"Total length of `list` across ranks is zero",  # data.holdout=0; said in our own words
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning on a newer torch
)


def quieten() -> None:
    """Silences the warnings that a sound run gives."""
    for message in EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)


def as_plain(config: DictConfig) -> dict[str, Any]:
    """The resolved config as plain values, which checkpoints and loggers can hold."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


def with_debug(config: DictConfig) -> DictConfig:
    """Lays the overrides of `debug=...` over everything else, also over an experiment's."""
    merged = OmegaConf.merge(config, config.get("debug") or {})
    assert isinstance(merged, DictConfig)
    return merged


@rank_zero_only
def print_config(config: DictConfig) -> None:
    """Prints the composed config."""
    Console().print(Syntax(OmegaConf.to_yaml(config, resolve=True), "yaml", background_color="default"))


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
    """
    values = OmegaConf.to_container(config.data, resolve=True)
    assert isinstance(values, dict)
    return cast(DataSets, instantiate({key: value for key, value in values.items() if key not in VIEWS_KEYS}))


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
    also_val_prompts: Mapping[str, DictConfig] | None = None,
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
        also_val_prompts: configs of other validation prompts by name, see `PromptedDataModule`.
    """
    return PromptedDataModule(
        sets=sets,
        augmentation=instantiate(config.augmentation, image_size=sam.image_size),
        prompts=instantiate(config.prompts),
        val_prompts=instantiate(config.val_prompts),
        also_val_prompts={name: instantiate(prompts) for name, prompts in (also_val_prompts or {}).items()},
        image_size=sam.image_size,
        mask_input_size=sam.mask_input_size,
        batch_size=batch_size,
        accumulate=accumulate,
        seed=config.seed,
        num_workers=config.loader.num_workers,
        views=views,
        cache=cache,
        decode=decode,
    )
