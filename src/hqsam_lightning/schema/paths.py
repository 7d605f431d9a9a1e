"""The keys that hold paths: their values are checked, and ``~`` is expanded, in this one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hqsam_lightning.checks import path
from hqsam_lightning.schema.annotations import path_arguments
from hqsam_lightning.schema.keys import Found, entries, first_pattern, resolve
from hqsam_lightning.schema.targets import locate, nodes_of

PATH_KEYS = (
    *("ckpt_path", "paths.*", "data.**.*dir", "cache", "data.**.folder"),
    *("data.**.annotations", "data.**.val_annotations", "data.**.images", "data.**.val_images", "data.**.masks"),
    *("suite.**.*dir", "suite.**.annotations", "suite.**.images", "suite.**.masks", "ckpt"),
    *("sam.weights", "sam.embedded", "sam.cache_dir", "variants.*.weights", "callbacks.*.dirpath"),
    *("logger.*.save_dir", "trainer.default_root_dir", "table", "out", "runs", "file", "photos"),
    *("model", "images", "prompt", "instances", "sam_weights", "archives", "videos.*"),
)
"""Patterns of the keys whose values are paths; arguments that are annotated as a `Path` need none."""


def path_keys(values: Mapping[str, Any]) -> set[str]:
    """The keys of a config that hold a path, or a list of them.

    Args:
        values: of the config; a target that cannot be imported tells nothing of its arguments.
    """
    found = {key for key, _ in entries(dict(values)) if first_pattern(PATH_KEYS, key)}
    for key, node in nodes_of(dict(values)):
        target = locate(key, node)
        found |= {f"{key}.{name}" for name in path_arguments(target)} if target is not None else set()
    return found


def path_problems(values: dict[str, Any]) -> Iterator[Found]:
    """Yields the path keys whose values are not valid paths."""
    keys = path_keys(values)
    for key, value in entries(values):
        if key in keys:
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
    expanded, values = config.copy(), resolve(config)[0]
    keys = path_keys(values)
    for key, value in entries(values):
        if key in keys and (paths := _expanded(value)) != value:
            OmegaConf.update(expanded, key, paths, merge=False)
    return expanded


def _expanded(value: Any) -> Any:
    if isinstance(value, list):
        return [_expanded(each) for each in value]
    return str(Path(value).expanduser()) if isinstance(value, str) and value.startswith("~") else value
