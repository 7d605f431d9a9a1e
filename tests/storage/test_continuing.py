"""Work continues with the facts that it began with, and no others."""

from pathlib import Path
from typing import Any

import pytest

from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.storage.continuing import begin_or_continue

FACTS = {"sam": "a" * 64, "write": ["masks"], "tile": None}


def begin(folder: Path, **changed: Any) -> None:
    begin_or_continue(folder / "facts.json", "thing", 1, {**FACTS, **changed}, "work", f"delete {folder}")


def test_the_same_facts_continue(tmp_path: Path) -> None:
    begin(tmp_path)
    written = (tmp_path / "facts.json").stat().st_mtime_ns
    begin(tmp_path)
    assert (tmp_path / "facts.json").stat().st_mtime_ns == written


def test_each_fact_that_changed_is_named_with_both_values(tmp_path: Path) -> None:
    begin(tmp_path)
    with pytest.raises(ConfigError) as refused:
        begin(tmp_path, write=["rle"], added=1)
    assert str(refused.value) == (
        f"{tmp_path}: expected the work that began there; added: None before, 1 now; "
        f"write: ['masks'] before, ['rle'] now; set these as before, or delete {tmp_path}"
    )


def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    begin(tmp_path)
    (tmp_path / "facts.json").write_text("{")
    with pytest.raises(DataError, match=rf"facts\.json: expected JSON.*; delete {tmp_path}"):
        begin(tmp_path)
