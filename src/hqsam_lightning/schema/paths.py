"""The keys that hold paths: their values are checked, and ``~`` is expanded, in this one place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hqsam_lightning.checks import path
from hqsam_lightning.schema.patterns import matches
from hqsam_lightning.schema.resolving import Found, entries, resolve

PATH_KEYS = (
    *("ckpt_path", "paths.*", "data.**.*dir", "data.**.cache", "data.**.folder"),
    *("data.**.annotations", "data.**.val_annotations", "data.**.images", "data.**.val_images", "data.**.masks"),
    *("sam.weights", "sam.embedded", "sam.cache_dir", "variants.*.weights", "callbacks.*.dirpath"),
    *("logger.*.save_dir", "trainer.default_root_dir", "table", "out", "runs", "file", "photos"),
)
"""Patterns of the keys whose values are paths."""


def is_path_key(key: str) -> bool:
    """Whether a key holds a path, or a list of them."""
    return any(matches(pattern, key) for pattern in PATH_KEYS)


def path_problems(values: dict[str, Any]) -> Iterator[Found]:
    """Yields the keys whose texts are no paths."""
    for key, value in entries(values):
        if is_path_key(key):
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, str) and (problem := path().problem(each)):
                    yield key, problem


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
