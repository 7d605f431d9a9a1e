"""Weights shipped in this folder: float16 safetensors, each with a file of its SHA-256."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

import torch
from safetensors.torch import load
from segment_anything.modeling import Sam
from torch import Tensor

from hqsam_lightning.errors import WeightsError
from hqsam_lightning.sam.state_dicts import pack_weights
from hqsam_lightning.storage.files import write_whole

FOLDER = files(__name__)


def save_shipped(sam: Sam, path: Path) -> str:
    """Writes a SAM's weights as they are shipped, and a file of their SHA-256 for ``sha256sum --check``.

    Args:
        sam: its floating-point tensors are rounded to float16; integers keep their type.
        path: a .safetensors file to write; the hash goes to the same name with the suffix .sha256.

    Returns:
        The file's SHA-256, lower-case hex.

    Raises:
        WeightsError: when a weight is not finite in float16; nothing is written.
        StorageError: when the files cannot be written.
    """
    state = {name: _to_half(tensor.detach().cpu()) for name, tensor in sam.state_dict().items()}
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{name}: expected weights that are finite in float16; train with smaller ones")
    content = pack_weights(state)
    sha256 = hashlib.sha256(content).hexdigest()
    write_whole(path, content)
    write_whole(path.with_suffix(".sha256"), f"{sha256}  {path.name}\n".encode())
    return sha256


def read_shipped(name: str) -> dict[str, Tensor]:
    """Reads one of the package's own weights files.

    Args:
        name: of the file, such as ``"sam_nano.safetensors"``.

    Returns:
        The tensors by name, on the CPU, in the types that they are stored in.

    Raises:
        WeightsError: the file or its hash is missing, or they do not fit.
    """
    file, note = FOLDER / name, FOLDER / Path(name).with_suffix(".sha256").name
    remedy = "install the package again, or set sam.weights=random or sam.weights=/path/to/file.safetensors"
    for part in (file, note):
        if not part.is_file():
            raise WeightsError(f"{part}: expected a file that the package ships, found none; {remedy}")
    content = file.read_bytes()
    expected, found = note.read_bytes().decode(errors="replace").split(" ")[0], hashlib.sha256(content).hexdigest()
    if found != expected:
        raise WeightsError(f"{file}: expected SHA-256 {expected}, got {found}; {remedy}")
    return load(content)


def _to_half(tensor: Tensor) -> Tensor:
    return (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
