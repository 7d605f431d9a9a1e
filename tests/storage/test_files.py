"""Files of ours: whole or not there, and refused when they were changed."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from hqsam_lightning.errors import DataError, StorageError
from hqsam_lightning.storage.files import (
    content_sha256,
    file_sha256,
    read_document,
    read_json,
    require_regular_file,
    write_document,
    write_whole,
)

REMEDY = "write it again"
BODY = {"name": "ü", "values": [1, 2.5, None, True], "nested": {"b": 1, "a": {}}}


def test_a_document_comes_back(tmp_path: Path) -> None:
    identity = write_document(tmp_path / "deep" / "x.json", "thing", 3, BODY)
    assert read_document(tmp_path / "deep" / "x.json", "thing", 3, DataError, REMEDY) == BODY
    assert json.loads((tmp_path / "deep" / "x.json").read_text())["sha256"] == identity
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("2.5", "2.6"), "does not match its sha256"),
        (lambda text: text.replace("/thing", "/other"), "expected a file of format hqsam_lightning/thing"),
        (lambda text: text.replace('"format_version": 3', '"format_version": 2'), "expected format_version 3, got 2"),
        (lambda text: text.replace("2.5", "NaN"), "NaN is not JSON"),
        (lambda text: text[: len(text) // 2], "expected JSON, cannot read it"),
        (lambda text: "[" * 100_000, "expected JSON, cannot read it"),
        (lambda text: "[1]", "got 'list'"),
        (lambda text: "", "expected JSON, cannot read it"),
    ],
)
def test_a_changed_document_is_refused(tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "x.json"
    write_document(path, "thing", 3, BODY)
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=message) as caught:
        read_document(path, "thing", 3, DataError, REMEDY)
    assert str(path) in str(caught.value)
    assert REMEDY in str(caught.value)


def test_bytes_that_are_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b'{"a": "\xff\xfe"}')
    with pytest.raises(DataError, match="expected JSON"):
        read_json(tmp_path / "x.json", DataError, REMEDY)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "x"
    write_whole(path, b"before")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"No space left on device.*run the same command again"):
        write_whole(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_pipes_and_folders_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, kind in (("pipe", "a pipe"), (".", "a folder")):
        with pytest.raises(DataError, match=f"expected a regular file, got {kind}; {REMEDY}"):
            require_regular_file(tmp_path / name, DataError, REMEDY)
    with pytest.raises(DataError, match="cannot find it"):
        require_regular_file(tmp_path / "absent", DataError, REMEDY)
    with pytest.raises(DataError, match="cannot find it"):
        require_regular_file(Path("a\0b"), DataError, REMEDY)


def test_content_sha256_sees_values_types_shapes_and_order() -> None:
    values = [
        *(1, 1.0, True, "1", None, [1, 2], [2, 1], [[1], 2], {"a": 1}, {"a": "1"}, {1: 1}),
        *(torch.zeros(2), torch.zeros(2, 1), torch.zeros(2, dtype=torch.float16), torch.ones(2, dtype=torch.bfloat16)),
        *(np.zeros(2), torch.tensor([0.0, -0.0]), torch.zeros(0), {}, []),
    ]
    assert len({content_sha256(value) for value in values}) == len(values)
    assert content_sha256({"a": 1, "b": [2]}) == content_sha256({"b": [2], "a": 1})
    assert content_sha256(torch.arange(6.0).reshape(2, 3).T) == content_sha256(
        torch.arange(6.0).reshape(2, 3).T.contiguous()
    )


def test_file_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert file_sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
