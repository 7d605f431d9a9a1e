"""State dicts from files, and a fingerprint of what they hold."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hqsam_lightning.errors import WeightsError
from hqsam_lightning.sam.transformers_names import from_transformers, is_transformers
from hqsam_lightning.storage.file_kinds import stand_in
from hqsam_lightning.storage.files import UNREADABLE, require_regular_file
from hqsam_lightning.storage.tensor_files import is_ours, pack_tensors, read_facts, read_tensors

log = logging.getLogger(__name__)

SUFFIXES = (".pth", ".pt", ".safetensors")
KIND = "weights"
VERSION = 1
ZIP_MAGIC = b"PK\x03\x04"
WRAPPER = "module."
"""What `DataParallel` puts before every name."""


def read_state_dict(path: Path, key: str = "sam.weights") -> dict[str, Tensor]:
    """Reads a ``.pth``, ``.pt`` or ``.safetensors`` file that holds a flat dict of tensors.

    Checksums are compared where the format has them: torch's zip files, and the safetensors files of `pack_weights`.
    Names that all begin with ``module.`` lose it, which is logged; those of `transformers` become the official ones.

    Args:
        path: the file; ``~`` is expanded.
        key: config key that the file was named in, for the messages.

    Returns:
        The tensors by name, on the CPU; all are finite.

    Raises:
        WeightsError: the file is missing, damaged, or holds something else.
    """
    path, remedy = path.expanduser(), f"set {key}=/path/to/file.pth"
    if not path.exists():
        raise WeightsError(f"{path}: expected a weights file, found none; {remedy}")
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"{path}: expected a .pth, .pt or .safetensors file, got {path.suffix!r}; {remedy}")
    if path.suffix == ".safetensors":
        content: Any = _read_safetensors(path, remedy)
    else:
        content = read_torch_file(path, remedy)
    state_dict = require_state_dict(path, content, remedy)
    if is_transformers(state_dict):
        return from_transformers(state_dict)
    if not all(name.startswith(WRAPPER) for name in state_dict):
        return state_dict
    log.info("%s: all names begin with %r, as DataParallel's do; taken without it", path, WRAPPER)
    return {name.removeprefix(WRAPPER): value for name, value in state_dict.items()}


def read_torch_file(path: Path, remedy: str) -> Any:
    """Reads what `torch.save` wrote; no code in it is run, and checksums, which torch ignores, are compared.

    Raises:
        WeightsError: the file is missing, damaged, or holds more than tensors and plain values; ends with the `remedy`.
    """
    require_regular_file(path, WeightsError, remedy)
    try:
        is_zip = _refuse_impostor(path, remedy)
        if is_zip:
            _check_zip(path)
        # torch maps only its zip format; files older than torch 1.6 are read whole
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except UNREADABLE as cause:
        raise _unreadable(path, cause, remedy) from cause


def require_state_dict(path: Path, content: Any, remedy: str) -> dict[str, Tensor]:
    """Makes sure that a file's content is a flat dict of sound tensors.

    Raises:
        WeightsError: it is not, or a tensor holds NaN or infinity; ends with the `remedy`.
    """
    if not isinstance(content, dict) or not content:
        found = "an empty dict" if isinstance(content, dict) else type(content).__name__
        raise WeightsError(f"{path}: expected a dict of tensors, got {found}; {remedy}")
    nested = [name for name, value in content.items() if isinstance(value, Mapping)]
    if nested:
        raise WeightsError(
            f"{path}: expected a flat dict of tensors, got a dict under {nested[0]!r}, as training programs save it; "
            f"save that alone: torch.save(torch.load(FILE, weights_only=True)[{nested[0]!r}], 'weights.pth')"
        )
    size = path.stat().st_size
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            found = f"{type(value).__name__} under {name!r}"
            raise WeightsError(f"{path}: expected a flat dict of tensors, got {found}; save the bare state dict")
        _require_sound(path, name, value, size, remedy)
    return {name: value.detach() for name, value in content.items()}


def pack_weights(state_dict: Mapping[str, Tensor], facts: Mapping[str, Any] | None = None) -> bytes:
    """Makes a safetensors file whose checksum `read_state_dict` compares.

    Args:
        state_dict: contiguous tensors on the CPU.
        facts: values of JSON about them, for `read_weights_facts`.
    """
    return pack_tensors(state_dict, KIND, VERSION, {"sha256": state_dict_sha256(state_dict), **(facts or {})})


def read_weights_facts(path: Path, remedy: str) -> dict[str, Any]:
    """The facts of a file of `pack_weights`; empty for a safetensors file of another program.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    metadata, _ = read_tensors(path, None, WeightsError, remedy)
    return read_facts(path, metadata, KIND, VERSION, WeightsError, remedy) if is_ours(metadata) else {}


def state_dict_sha256(state_dict: Mapping[str, Tensor]) -> str:
    """Fingerprints names, dtypes, shapes and values; neither order, container format nor device matters."""
    digest = hashlib.sha256()
    for name in sorted(state_dict):
        tensor = state_dict[name].detach()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        # numpy has no bfloat16: look at the bytes
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read_safetensors(path: Path, remedy: str) -> dict[str, Tensor]:
    require_regular_file(path, WeightsError, remedy)
    try:
        _refuse_impostor(path, remedy)
    except OSError as cause:
        raise _unreadable(path, cause, remedy) from cause
    metadata, tensors = read_tensors(path, "", WeightsError, remedy)
    if is_ours(metadata):
        expected = read_facts(path, metadata, KIND, VERSION, WeightsError, remedy).get("sha256")
        if state_dict_sha256(tensors) != expected:
            raise WeightsError(f"{path}: its tensors do not match their checksum: it is damaged; {remedy}")
    return tensors


def _check_zip(path: Path) -> None:
    """Reads every member once and compares its CRC-32.

    Raises:
        zipfile.BadZipFile: one does not match, or is compressed, which torch's are not.
    """
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise zipfile.BadZipFile("compressed")
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"{damaged} does not match its checksum")


def _refuse_impostor(path: Path, remedy: str) -> bool:
    """Names what is often saved under the name of a weights file; returns whether the file is a zip archive."""
    with path.open("rb") as file:
        head = file.read(9)
    is_zip = head.startswith(ZIP_MAGIC)
    found = stand_in(path) if head[8:9] != b"{" else None
    if path.suffix == ".safetensors" and is_zip:
        found = "a file of torch.save", "rename it to .pth"
    elif path.suffix in (".pth", ".pt") and head[8:9] == b"{":
        found = "a safetensors file", "rename it to .safetensors"
    if found is not None:
        raise WeightsError(f"{path}: expected weights, got {found[0]}: {found[1]}; or {remedy}")
    return is_zip


def _require_sound(path: Path, name: str, value: Tensor, size: int, remedy: str) -> None:
    # with strides of zero, a few bytes can represent a tensor of any size
    if value.layout != torch.strided or value.is_meta or value.numel() * value.element_size() > size:
        raise WeightsError(f"{path}: {name}: expected a dense tensor that the file holds; got {value.layout}; {remedy}")
    if not torch.isfinite(value.float() if value.is_floating_point() else value).all():
        raise WeightsError(f"{path}: {name}: expected finite weights, got NaN or infinity (in float32); {remedy}")


def _unreadable(path: Path, cause: Exception, remedy: str) -> WeightsError:
    # torch's own message advises to load without weights_only: leave it to the cause
    reason = f"cannot be read ({type(cause).__name__}): it is damaged or holds more than tensors"
    return WeightsError(f"{path}: {reason}; get the file again, or {remedy}")
