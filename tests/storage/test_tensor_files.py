"""Safetensors files of ours: the same bytes for the same content, and a kind and version that readers compare."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from hqsam_lightning.errors import WeightsError
from hqsam_lightning.storage.tensor_files import is_ours, pack_tensors, read_facts

PATH = Path("some.safetensors")
TENSORS = {"b": torch.arange(6).reshape(2, 3), "a": torch.zeros(3).bfloat16()}


def metadata_of(folder: Path, content: bytes) -> dict[str, str]:
    (folder / "a.safetensors").write_bytes(content)
    with safe_open(folder / "a.safetensors", framework="pt") as file:
        return file.metadata()


def test_facts_come_back(tmp_path: Path) -> None:
    facts = {"seed": 3, "name": "ä", "list": [1, 2.5, None]}
    metadata = metadata_of(tmp_path, pack_tensors(TENSORS, "thing", 4, facts))
    assert is_ours(metadata)
    assert read_facts(PATH, metadata, "thing", 4, WeightsError, "get another") == facts


def test_the_order_of_facts_and_tensors_does_not_matter() -> None:
    ones = pack_tensors(TENSORS, "thing", 1, {"x": 1, "y": 2})
    assert pack_tensors(dict(reversed(TENSORS.items())), "thing", 1, {"y": 2, "x": 1}) == ones


@pytest.mark.parametrize(
    ("kind", "version", "message"),
    [
        ("other", 4, "expected a file of format hqsam_lightning/thing, got 'hqsam_lightning/other'"),
        ("thing", 5, "expected format_version 4, got 5"),
        ("thing", "4", "expected format_version 4, got '4'"),
    ],
)
def test_another_kind_or_version_is_refused(tmp_path: Path, kind: str, version: int, message: str) -> None:
    metadata = metadata_of(tmp_path, pack_tensors(TENSORS, kind, version, {}))
    with pytest.raises(WeightsError, match=rf"^some\.safetensors: {message}; get another$"):
        read_facts(PATH, metadata, "thing", 4, WeightsError, "get another")


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}, {"hqsam_lightning": "{"}, {"hqsam_lightning": "[1]"}])
def test_foreign_and_damaged_headers_are_refused(metadata: dict[str, str] | None) -> None:
    assert is_ours(metadata) == (metadata is not None and "hqsam_lightning" in metadata)
    with pytest.raises(WeightsError, match=r"^some\.safetensors: .*; get another$"):
        read_facts(PATH, metadata, "thing", 4, WeightsError, "get another")
