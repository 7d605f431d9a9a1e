"""A save that fails leaves the last good checkpoint; nothing passes through another folder."""

import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from hqsam_lightning.errors import StorageError
from hqsam_lightning.training.checkpoint import AtomicCheckpointIO, read_checkpoint


def content(step: int, size: int = 4) -> dict:
    return {"global_step": step, "state_dict": {"weight": torch.full((size,), float(step))}}


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes, which fails a write as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 100, 5000, 100_000])
def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, room: int) -> None:
    path = tmp_path / "checkpoints" / "last.ckpt"
    io = AtomicCheckpointIO()
    io.save_checkpoint(content(1), path)
    before = path.read_bytes()
    with room_for(room), pytest.raises(StorageError, match=r"last\.ckpt: cannot be written .*make room"):
        io.save_checkpoint(content(2, size=100_000), path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["last.ckpt"]
    io.save_checkpoint(content(2), path)
    assert read_checkpoint(path)["global_step"] == 2


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(StorageError, match=r"last\.ckpt: cannot be written"):
        AtomicCheckpointIO().save_checkpoint(content(1), tmp_path / "checkpoints" / "last.ckpt")


def test_what_a_killed_save_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".last.ckpt.12345.part").write_bytes(b"half a file")
    (tmp_path / ".best.ckpt.12345.part").write_bytes(b"of another")
    AtomicCheckpointIO().save_checkpoint(content(1), tmp_path / "last.ckpt")
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt", ".best.ckpt.12345.part"}


def test_the_temporary_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    AtomicCheckpointIO().save_checkpoint(content(1), tmp_path / "last.ckpt")
    assert AtomicCheckpointIO().load_checkpoint(tmp_path / "last.ckpt")["global_step"] == 1
