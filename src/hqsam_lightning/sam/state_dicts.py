"""State dicts from files, and a fingerprint of what they hold."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hqsam_lightning.errors import WeightsError

# what damaged files made torch and safetensors raise, truncated or with bytes changed at random
_UNREADABLE = (
    *(RuntimeError, OSError, ValueError, LookupError, EOFError, AttributeError, TypeError, AssertionError),
    *(pickle.UnpicklingError, SafetensorError, struct.error, zipfile.BadZipFile),
)


def read_state_dict(path: Path, key: str = "sam.weights") -> dict[str, Tensor]:
    """Reads a ``.pth``, ``.pt`` or ``.safetensors`` file that holds a flat dict of tensors.

    Args:
        path: the file.
        key: config key that the file was named in, for the messages.

    Returns:
        The tensors by name, on the CPU.

    Raises:
        WeightsError: the file is missing, damaged, or holds something else.
    """
    own_file = f"set {key}=/path/to/file.pth"
    if not path.is_file():
        raise WeightsError(f"{path}: expected a weights file, found none; {own_file}")
    if path.suffix not in (".pth", ".pt", ".safetensors"):
        raise WeightsError(f"{path}: expected a .pth, .pt or .safetensors file, got {path.suffix!r}; {own_file}")
    try:
        if path.suffix == ".safetensors":
            content = load_file(path, device="cpu")
        else:
            # torch maps only its zip format; files older than torch 1.6 are read whole
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except _UNREADABLE as error:
        # torch's own message advises to load without weights_only: leave it to the cause
        reason = f"cannot be read ({type(error).__name__}): it is damaged or holds more than tensors"
        raise WeightsError(f"{path}: {reason}; get the file again, or {own_file}") from error
    if not isinstance(content, dict) or not content:
        found = "an empty dict" if isinstance(content, dict) else type(content).__name__
        raise WeightsError(f"{path}: expected a dict of tensors, got {found}; {own_file}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            found = f"{type(value).__name__} under {name!r}"
            raise WeightsError(f"{path}: expected a flat dict of tensors, got {found}; save the bare state dict")
    return dict(content)


def state_dict_sha256(state_dict: Mapping[str, Tensor]) -> str:
    """Fingerprints names, dtypes, shapes and values; neither order, container format nor device matters."""
    digest = hashlib.sha256()
    for name in sorted(state_dict):
        tensor = state_dict[name].detach()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        # numpy has no bfloat16: look at the bytes
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
