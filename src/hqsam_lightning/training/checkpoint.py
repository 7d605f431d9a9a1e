"""Trainable-only checkpoints: what they hold, and what is checked before one is used."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch import Tensor

from hqsam_lightning import __version__
from hqsam_lightning.errors import CheckpointError, StorageError
from hqsam_lightning.recipe import BEGINNING, differences, recipe_of, steps_of, without
from hqsam_lightning.storage.file_kinds import stand_in
from hqsam_lightning.storage.files import UNREADABLE, content_sha256, replacing, require_regular_file

INFO_KEY = "hqsam_lightning"
FORMAT_VERSION = 3
"""Of the layout; checkpoints before 2 had no checksum, those before 3 belonged to a number of devices."""

REMEDY = "use another checkpoint of the run"
SAM_PARTS = ("image_encoder.", "prompt_encoder.", "mask_decoder.")


def checkpoint_info(
    sam_name: str,
    sam_sha256: str,
    config: dict[str, Any],
    data: dict[str, Any] | None = None,
    begun_from: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a checkpoint says about its run, as plain values; see `recipe_of`."""
    facts = {"config": config, "data": data, "begun_from": dict(begun_from or {})}
    return {"version": __version__, "sam": sam_name, "sam_sha256": sam_sha256, **facts}


def require_finite(state_dict: Mapping[str, Tensor]) -> None:
    """Refuses to save weights that hold NaN or infinity, so that the last good checkpoint stays.

    Raises:
        CheckpointError: naming the parameter.
    """
    for key, value in state_dict.items():
        if not torch.isfinite(value).all():
            raise CheckpointError(
                f"{key}: expected finite weights to save, got NaN or infinity; checkpoints written before stay as they "
                "are"
            )


def seal(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Puts the version of the layout and a checksum over everything into a checkpoint of Lightning's."""
    info = {**checkpoint.get(INFO_KEY, {}), "format_version": FORMAT_VERSION}
    sealed = {**checkpoint, INFO_KEY: info}
    return {**sealed, INFO_KEY: {**info, "sha256": content_sha256(sealed)}}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint without running code from it.

    Raises:
        CheckpointError: the file is missing, damaged, not a checkpoint of this package or of another version of its
            layout, or holds weights that are not finite.
    """
    require_regular_file(path, CheckpointError, "check ckpt_path")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that other programs wrote
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise CheckpointError(f"ckpt_path={path}: {_describe_unreadable(path, error)}; {REMEDY}") from error
    info = checkpoint.get(INFO_KEY) if isinstance(checkpoint, dict) else None
    if not isinstance(info, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise CheckpointError(
            f"ckpt_path={path}: expected a checkpoint written by hqsam_lightning, got {_describe_foreign(checkpoint)}"
        )
    if info.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"ckpt_path={path}: expected format_version {FORMAT_VERSION}, got {info.get('format_version')}: another "
            f"version of hqsam_lightning wrote it ({info.get('version')}, this is {__version__}); use that version, or "
            "begin a new run"
        )
    plain = {**checkpoint, INFO_KEY: {key: value for key, value in info.items() if key != "sha256"}}
    if info.get("sha256") != content_sha256(plain):
        raise CheckpointError(
            f"ckpt_path={path}: its content does not match its sha256: the file was damaged or changed; {REMEDY}"
        )
    for name in ("state_dict", "current_model_state", "optimizer_states"):
        for key, value in _floats(checkpoint.get(name), name):
            if not torch.isfinite(value).all():
                raise CheckpointError(f"ckpt_path={path}: {key}: expected finite values, got NaN or infinity; {REMEDY}")
    return checkpoint


def _floats(value: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield prefix, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _floats(inner, f"{prefix}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _floats(inner, f"{prefix}.{index}")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, flushes to the disk and renames; puts a checksum in, and checks it when reading.

    Lightning writes to the system's temporary folder and moves; where that is another file system, the move is a copy,
    and a kill during it leaves a part of a file in place of the last good checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Raises a `StorageError` where the disk cannot be written; the checkpoint before stays as it was."""
        path = Path(path)
        for abandoned in path.parent.glob(f".{path.name}.*.part"):  # of a run killed while it saved
            abandoned.unlink(missing_ok=True)
        with replacing(path) as file:
            try:
                torch.save(seal(checkpoint), file)
            except RuntimeError as cause:
                # torch's writer says so when a write fails
                raise StorageError(
                    f"{path}: cannot be written ({str(cause).splitlines()[0]}); the checkpoint before is whole: make "
                    "room and run the same command again"
                ) from cause

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        """See `read_checkpoint`."""
        return read_checkpoint(Path(path))


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


def is_of_pretraining(checkpoint: Mapping[str, Any]) -> bool:
    """Whether `pretrain` wrote a checkpoint; otherwise `train` did."""
    return "averaging_state" in checkpoint


def check_recipe(
    checkpoint: Mapping[str, Any],
    config: Mapping[str, Any],
    data: Mapping[str, Any] | None = None,
    begun_from: Mapping[str, str] | None = None,
) -> None:
    """Makes sure that a resumed run takes the steps of the run that it continues, see `recipe.steps_of`.

    Args:
        checkpoint: as read.
        config: the resuming run's config as plain values.
        data: `fingerprint` of what the resuming run found; None compares the configs alone.
        begun_from: see `recipe_of`.

    Raises:
        CheckpointError: naming the keys and sets that differ, with both values.
    """
    info = checkpoint[INFO_KEY]
    # of the frozen SAM, which `check_checkpoint` compares; pretraining changes its own
    sam = None if is_of_pretraining(checkpoint) else info["sam_sha256"]
    if data is None:
        recipes = [without(recipe_of(each, sam), [BEGINNING.format("*")]) for each in (info["config"], config)]
    else:
        recipes = [
            recipe_of(info["config"], sam, info["data"], info.get("begun_from")),
            recipe_of(config, sam, data, begun_from),
        ]
    if changed := differences(*map(steps_of, recipes)):
        raise CheckpointError(
            f"ckpt_path: expected the recipe that the run began with, which its optimiser and data position belong to; "
            f"{'; '.join(changed)}; set these as before, or begin a new run in another hydra.run.dir"
        )


def _some(keys: list[str]) -> str:
    if not keys:
        return "none"
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _describe_unreadable(path: Path, error: Exception) -> str:
    """Why a file cannot be read as a checkpoint; torch's own message advises to run the code in the file."""
    expected = "expected a whole checkpoint; it is damaged or of another kind"
    try:
        if zipfile.is_zipfile(path):
            if isinstance(error, pickle.UnpicklingError):
                return f"{expected}: it holds objects other than tensors and plain values, which could run code"
            return f"{expected}: its archive cannot be read ({type(error).__name__})"
        kind, remedy = stand_in(path) or ("", "")
    except OSError as cause:
        return f"{expected}: it cannot be read ({cause})"
    return f"{expected}: it is {kind}; {remedy}" if kind else f"{expected}: it does not end, or does not begin, as one"


def _describe_foreign(content: Any) -> str:
    """What a file that torch could read holds in place of a checkpoint, and what to do with it."""
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}; check ckpt_path"
    keys = [key for key in content if isinstance(key, str)]
    if "pytorch-lightning_version" in keys:
        return "a Lightning checkpoint of another project; check ckpt_path"
    inner = content.get("model", content.get("state_dict", content))
    tensors = inner.items() if isinstance(inner, Mapping) else ()
    names = [key for key, value in tensors if isinstance(value, Tensor)]
    wrapped = [key for key in names if key.startswith("module.")]
    note = f" whose keys begin with 'module.' ({wrapped[0]}), as DataParallel saves them" if wrapped else ""
    names = [key.removeprefix("module.") for key in names]
    if any(key.startswith(("hf_token", "mask_decoder.hf_")) for key in names):
        return f"weights of HQ-SAM{note}, which hold no state of a run; give them as variants.hq.weights"
    if any(key.startswith(SAM_PARTS) for key in names):
        return f"weights of a SAM{note}, which hold no state of a run; give them as sam.weights"
    if names:
        return f"bare weights{note} ({names[0]}, ...), which hold no state of a run; check ckpt_path"
    return f"a dict with keys {', '.join(sorted(keys)[:3]) or 'none'}; check ckpt_path"
