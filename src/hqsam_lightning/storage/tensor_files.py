"""Safetensors files of ours: tensors, and beside them in the header the file's kind, version and facts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from hqsam_lightning.errors import HQSamError
from hqsam_lightning.storage.files import FORMAT, UNREADABLE


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
    """Reads the facts that `pack_tensors` wrote.

    Args:
        path: of the file, for messages.
        metadata: of the file.
        kind: that is expected.
        version: that is expected.
        error: class of the error.
        remedy: what to do about a file that cannot be used, as the end of the message.

    Raises:
        HQSamError: of the class given, when the file is of another program, kind or version.
    """
    try:
        facts = json.loads((metadata or {}).get(FORMAT, "{}"))
        found, found_version = facts.get("format"), facts.get("format_version")
    except UNREADABLE as cause:
        raise error(f"{path}: its header is damaged ({type(cause).__name__}: {cause}); {remedy}") from cause
    if (found, found_version) != (f"{FORMAT}/{kind}", version):
        raise error(
            f"{path}: expected a file of format {FORMAT}/{kind}, version {version}; got format {found}, version "
            f"{found_version}; {remedy}"
        )
    return {key: value for key, value in facts.items() if key not in ("format", "format_version")}
