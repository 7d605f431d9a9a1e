"""A whole model, SAM and head, as one safetensors file that says how it is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from hqsam_lightning.heads import Head
from hqsam_lightning.heads.official import authors_refusal, put_official, to_official
from hqsam_lightning.inference.folder import describe, fill_head, on_cpu, require_origin, require_own_code
from hqsam_lightning.inference.model import HQSam
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.sam.state_dicts import pack_weights, read_weights_facts
from hqsam_lightning.storage.files import write_whole

SUFFIX = ".safetensors"
FACT = "model"
HEAD = "head."
"""Before the names of a head that the authors' model has not."""
REMEDY = "export it again with format=safetensors"


def write_whole_model(model: HQSam, path: Path) -> None:
    """Writes SAM's tensors under SAM's names, and the head's: under the authors' where it is theirs.

    Args:
        model: with or without a head.
        path: of the file.

    Raises:
        ConfigError: nobody knows what the model was built from.
        StorageError: the file cannot be written.
    """
    origin = require_origin(model, "export")
    is_authors = authors_refusal(model.head) is None
    learned = to_official(model.head.state_dict()) if is_authors else _prefixed(model.head)
    tensors = on_cpu({**model.sam.sam.state_dict(), **learned})
    write_whole(path, pack_weights(tensors, {FACT: describe(model, origin)}))


def read_description(path: Path, trusted: bool) -> dict[str, Any] | None:
    """What `write_whole_model` says of a model; None for weights alone.

    Args:
        path: of the file.
        trusted: see `hqsam_lightning.inference.folder.read_folder`.

    Raises:
        WeightsError: the file is damaged, or names code that is not trusted.
    """
    if path.suffix != SUFFIX:
        return None
    found: dict[str, Any] | None = read_weights_facts(path, REMEDY).get(FACT)
    if found is not None and not trusted:
        require_own_code(path, found)
    return found


def fill_from(head: Head, content: dict[str, Tensor], path: Path, sam: FrozenSam) -> None:
    """Gives a head its part of the file's content.

    Raises:
        WeightsError: it does not fit.
    """
    if authors_refusal(head) is None:
        put_official(head, content, path, sam)
    else:
        own = {name.removeprefix(HEAD): value for name, value in content.items() if name.startswith(HEAD)}
        fill_head(head, own, path)


def _prefixed(head: Head) -> dict[str, Tensor]:
    return {HEAD + name: value for name, value in head.learned.items()}
