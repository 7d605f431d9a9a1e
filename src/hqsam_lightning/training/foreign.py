"""What a file is that is no checkpoint of this package, in words."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

SAM_PARTS = ("image_encoder.", "prompt_encoder.", "mask_decoder.")


def describe_unreadable(path: Path, error: Exception) -> str:
    """Says why a file could not be read as a checkpoint; torch's own message advises to run the code in the file.

    Args:
        path: the file.
        error: that `torch.load` raised.
    """
    expected = "expected a whole checkpoint; it is damaged or of another kind"
    try:
        is_zip, begins = zipfile.is_zipfile(path), _beginning(path)
    except OSError as cause:
        return f"{expected}: it cannot be read ({cause})"
    if not begins:
        return f"{expected}: it is empty"
    if is_zip and isinstance(error, pickle.UnpicklingError):
        return f"{expected}: it holds objects other than tensors and plain values, which could run code when loaded"
    if is_zip:
        return f"{expected}: its archive cannot be read ({type(error).__name__})"
    if begins.startswith(b"version https://git-l"):
        return f"{expected}: it is a Git LFS pointer; run `git lfs pull`"
    if begins.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return f"{expected}: it is a web page"
    return f"{expected}: it does not end, or does not begin, as one"


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def describe_foreign(content: Any) -> str:
    """Says what a file that torch could read holds, and what to do with it.

    Args:
        content: of the file.
    """
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}; check ckpt_path"
    keys = [key for key in content if isinstance(key, str)]
    if "pytorch-lightning_version" in keys:
        return "a Lightning checkpoint of another project; check ckpt_path"
    inner = content.get("model", content.get("state_dict", content))
    names = [key for key, value in inner.items() if isinstance(value, Tensor)] if isinstance(inner, Mapping) else []
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
