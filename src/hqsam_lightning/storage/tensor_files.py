"""Safetensors files of ours, whose header also holds the kind, the version and facts of the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from hqsam_lightning.errors import HQSamError
from hqsam_lightning.storage.files import FORMAT, UNREADABLE, body_of, require_regular_file


def pack_tensors(tensors: Mapping[str, Tensor], kind: str, version: int, facts: Mapping[str, Any]) -> bytes:
    """Makes a safetensors file's bytes, the same ones for the same tensors and facts.

    Args:
        tensors: by name; contiguous, on the CPU, no two of one memory.
        kind: what the file is, e.g. ``"weights"``.
        version: of this kind's layout.
        facts: values of JSON.
    """
    document = {"format": f"{FORMAT}/{kind}", "format_version": version, **facts}
    # under one key: safetensors writes several in any order
    return save(dict(tensors), metadata={FORMAT: json.dumps(document, sort_keys=True, allow_nan=False)})


def is_ours(metadata: Mapping[str, str] | None) -> bool:
    """Whether a safetensors file's metadata is that of `pack_tensors`."""
    return metadata is not None and FORMAT in metadata


def read_facts(
    path: Path, metadata: Mapping[str, str] | None, kind: str, version: int, error: type[HQSamError], remedy: str
) -> dict[str, Any]:
    """Reads the facts that `pack_tensors` wrote from a file's metadata.

    Raises:
        HQSamError: of the class `error`, ending with the `remedy`, for another program, kind or version.
    """
    try:
        facts = json.loads((metadata or {}).get(FORMAT, "{}"))
    except UNREADABLE as cause:
        raise error(f"{path}: its header is damaged ({type(cause).__name__}: {cause}); {remedy}") from cause
    return body_of(path, facts, kind, version, error, remedy)


def read_tensors(
    path: Path, prefix: str | None, error: type[HQSamError], remedy: str
) -> tuple[dict[str, str] | None, dict[str, Tensor]]:
    """Reads the metadata of a safetensors file and its tensors whose names begin with `prefix`, None for no tensors.

    Returns:
        The metadata, and the tensors by name without the prefix, which lie in the mapped file.

    Raises:
        HQSamError: of the class `error`, ending with the `remedy`, when the file is missing or damaged.
    """
    require_regular_file(path, error, remedy)
    try:
        with safe_open(path, framework="pt") as file:
            metadata, names = file.metadata(), file.keys()
            if prefix is None:
                return metadata, {}
            own = [name for name in names if name.startswith(prefix)]
            return metadata, {name.removeprefix(prefix): file.get_tensor(name) for name in own}
    except UNREADABLE as cause:
        reason = f"{type(cause).__name__}: {cause}"
        raise error(f"{path}: expected a safetensors file, this one is damaged ({reason}); {remedy}") from cause
