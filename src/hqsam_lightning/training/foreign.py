"""Describes files that are not checkpoints of this package."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from hqsam_lightning.storage.file_kinds import stand_in

SAM_PARTS = ("image_encoder.", "prompt_encoder.", "mask_decoder.")


def describe_unreadable(path: Path, error: Exception) -> str:
    """Describes why a file cannot be read as a checkpoint; torch's own message advises to run the code in the file.

    Args:
        path: the file.
        error: that `torch.load` raised.
    """
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


def describe_foreign(content: Any) -> str:
    """Describes the content of a file that torch could read, and what to do with it.

    Args:
        content: of the file.
    """
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
