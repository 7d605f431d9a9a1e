"""Which keys hold paths, and ``~`` in them: expanded here, so that no use has to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hqsam_lightning.schema.patterns import matches
from hqsam_lightning.schema.resolving import entries, resolve

PATH_KEYS = (
    *("ckpt_path", "paths.*", "data.**.*dir", "data.**.cache", "data.**.folder"),
    *("data.**.annotations", "data.**.val_annotations", "data.**.images", "data.**.val_images", "data.**.masks"),
    *("sam.weights", "sam.cache_dir", "variants.*.weights", "callbacks.*.dirpath"),
    *("logger.*.save_dir", "trainer.default_root_dir", "table", "out", "runs", "file", "photos"),
)
"""Patterns of the keys whose values are paths."""


def is_path_key(key: str) -> bool:
    """Whether a key holds a path, or a list of them."""
    return any(matches(pattern, key) for pattern in PATH_KEYS)


def expand_paths(config: DictConfig) -> DictConfig:
    """Replaces a leading ``~`` in every path of a config by the home folder.

    Args:
        config: stays as it is.

    Returns:
        A copy.
    """
    expanded = config.copy()
    for key, value in entries(resolve(config)[0]):
        if is_path_key(key) and (paths := _expanded(value)) != value:
            OmegaConf.update(expanded, key, paths, merge=False)
    return expanded


def _expanded(value: Any) -> Any:
    if isinstance(value, list):
        return [_expanded(each) for each in value]
    return str(Path(value).expanduser()) if isinstance(value, str) and value.startswith("~") else value
