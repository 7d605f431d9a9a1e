"""Work that a later command may only continue where it would give the same: what it depends on is kept in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.storage.files import read_document, write_document


def begin_or_continue(path: Path, kind: str, version: int, facts: Mapping[str, Any], work: str, remedy: str) -> None:
    """Writes facts where there are none yet, otherwise compares them with those that are there.

    Args:
        path: of the facts.
        kind: of the file, see `write_document`.
        version: of the facts' layout.
        facts: values of JSON that the results depend on.
        work: what is continued, for the message.
        remedy: how to begin anew.

    Raises:
        ConfigError: facts differ; the message names them, with both values.
        DataError: the file is damaged.
        StorageError: the file cannot be written.
    """
    if not path.exists():
        write_document(path, kind, version, facts)
        return
    before = read_document(path, kind, version, DataError, remedy)
    changed = sorted(key for key in {*before, *facts} if before.get(key) != facts.get(key))
    if changed:
        listed = "; ".join(f"{key}: {before.get(key)} before, {facts.get(key)} now" for key in changed)
        raise ConfigError(
            f"{path.parent}: expected the {work} that began there; {listed}; set these as before, or {remedy}"
        )
