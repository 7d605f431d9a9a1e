"""Trainable-only checkpoints: what they hold, and what is checked before one is used."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hqsam_lightning import __version__
from hqsam_lightning.errors import CheckpointError

INFO_KEY = "hqsam_lightning"
RECIPE = (
    *("seed", "batch", "data", "augmentation", "prompts", "loss", "own_losses", "optimizer", "scheduler"),
    *("sam.precision", "trainer.gradient_clip_val"),
)
PLACES = (
    "data.data_dir",
    "data.photos.data_dir",
    "data.validation.data_dir",
    "data.folder",
    "data.cache",
    "sam.cache_dir",
)
"""Keys that say where things lie on a machine, not what they are."""


def checkpoint_info(sam_name: str, sam_sha256: str, config: dict[str, Any], world_size: int) -> dict[str, Any]:
    """What a checkpoint says about its run, as plain values."""
    return {
        "version": __version__,
        "sam": sam_name,
        "sam_sha256": sam_sha256,
        "config": config,
        "world_size": world_size,
    }


def require_finite(state_dict: dict[str, Tensor]) -> None:
    """Refuses to save weights that hold NaN or infinity, so that the last good checkpoint stays.

    Raises:
        CheckpointError: naming the parameter.
    """
    for key, value in state_dict.items():
        if not torch.isfinite(value).all():
            raise CheckpointError(
                f"{key}: expected finite weights, got NaN or infinity: training diverged; the last "
                "checkpoint was kept; begin a new run with a lower optimizer.lr"
            )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint without running code from it.

    Raises:
        CheckpointError: when the file is missing, damaged or not a checkpoint of this package.
    """
    if not path.is_file():
        raise CheckpointError(f"ckpt_path={path}: expected a checkpoint file, found none; check the path")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, ValueError) as error:
        raise CheckpointError(
            f"ckpt_path={path}: expected a whole checkpoint; it is damaged or of another kind ({error}); "
            "use another checkpoint of the run, such as best.ckpt or last.ckpt"
        ) from error
    if not isinstance(checkpoint, dict) or INFO_KEY not in checkpoint or "state_dict" not in checkpoint:
        raise CheckpointError(
            f"ckpt_path={path}: expected a checkpoint written by hqsam_lightning; it is of another kind"
        )
    return checkpoint


def check_checkpoint(
    checkpoint: dict[str, Any], own_state: Mapping[str, Tensor], sam_name: str, sam_sha256: str
) -> None:
    """Makes sure that a checkpoint belongs to this SAM and these variants.

    Args:
        checkpoint: as read.
        own_state: the trainable state that it will be loaded into.
        sam_name: name of the SAM in use.
        sam_sha256: fingerprint of its weights.

    Raises:
        CheckpointError: naming what differs.
    """
    info, state = checkpoint[INFO_KEY], checkpoint["state_dict"]
    if info["sam_sha256"] != sam_sha256:
        raise CheckpointError(
            f"checkpoint: expected heads trained on this SAM ({sam_name}, weights {sam_sha256[:12]}); these were "
            f"trained on {info['sam']}, weights {info['sam_sha256'][:12]}; choose the same sam=... and sam.weights=..."
        )
    missing, foreign = sorted(own_state.keys() - state.keys()), sorted(state.keys() - own_state.keys())
    shared = own_state.keys() & state.keys()
    reshaped = sorted(key for key in shared if own_state[key].shape != state[key].shape)
    if missing or foreign or reshaped:
        raise CheckpointError(
            f"checkpoint: expected the trainable weights of these variants; missing: {_some(missing)}; not ours: "
            f"{_some(foreign)}; of another shape: {_some(reshaped)}; choose the same variants and heads as the run's"
        )


def check_recipe(
    checkpoint: dict[str, Any], config: dict[str, Any], world_size: int, recipe: Sequence[str] = RECIPE
) -> None:
    """Makes sure that a resumed run goes on with the recipe it began with; only then are its steps the same.

    Args:
        checkpoint: as read.
        config: the resuming run's config as plain values.
        world_size: number of its processes.
        recipe: sections and keys (``"a.b"``) of the config that must be the same.

    Raises:
        CheckpointError: naming the keys that differ, with both values.
    """
    info = checkpoint[INFO_KEY]
    before, now = (
        {"number of devices": size, **_of_recipe(flatten(values), recipe)}
        for size, values in ((info["world_size"], info["config"]), (world_size, config))
    )
    changed = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
    changed = [key for key in changed if key not in PLACES]
    if changed:
        listed = "; ".join(f"{key}: {before.get(key)} before, {now.get(key)} now" for key in changed)
        raise CheckpointError(
            f"ckpt_path: expected the recipe that the run began with, which its optimiser and data position belong to; "
            f"{listed}; set these keys as before, or begin a new run"
        )


def _of_recipe(flat: dict[str, Any], recipe: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in flat.items() if any(f"{key}.".startswith(f"{part}.") for part in recipe)}


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    if not isinstance(values, dict):
        return {prefix: values}
    return {
        key: value
        for name, inner in values.items()
        for key, value in flatten(inner, f"{prefix}.{name}" if prefix else name).items()
    }


def is_under(key: str, parents: Sequence[str]) -> bool:
    """Whether the key is one of the parents, or below one."""
    return any(key == parent or key.startswith(f"{parent}.") for parent in parents)


def _some(keys: list[str]) -> str:
    if not keys:
        return "none"
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
