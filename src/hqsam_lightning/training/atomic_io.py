"""Checkpoints that are whole or not there, and what is read is what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from hqsam_lightning.errors import StorageError
from hqsam_lightning.storage.files import replacing
from hqsam_lightning.training.checkpoint import read_checkpoint, seal


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, flushes to the disk and renames; puts a checksum in, and checks it when reading.

    Lightning writes to the system's temporary folder and moves; where that is another file system, the move is a copy,
    and a kill during it leaves a part of a file in place of the last good checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Saves a checkpoint.

        Raises:
            StorageError: the disk is full or cannot be written; the checkpoint before stays as it was.
        """
        path = Path(path)
        for abandoned in path.parent.glob(f".{path.name}.*.part"):  # of a run killed while it saved
            abandoned.unlink(missing_ok=True)
        with replacing(path) as file:
            try:
                torch.save(seal(checkpoint), file)
            except RuntimeError as cause:
                # torch's writer says so when a write fails
                raise StorageError(
                    f"{path}: cannot be written ({str(cause).splitlines()[0]}); the checkpoint before is whole: make "
                    "room and run the same command again"
                ) from cause

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Reads a checkpoint.

        Raises:
            CheckpointError: see `read_checkpoint`.
        """
        return read_checkpoint(Path(path))
