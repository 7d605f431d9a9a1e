"""Checkpoints that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames.

    Lightning writes to the system's temporary folder and moves; where that is another file system, the move is a copy,
    and a kill during it leaves a part of a file in place of the last good checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Saves a checkpoint."""
        partial = Path(path).with_name(Path(path).name + ".part")
        super().save_checkpoint(checkpoint, partial, storage_options)
        os.replace(partial, path)
