"""The checkpoint that a run continues, and what is checked of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from hqsam_lightning.config import as_plain
from hqsam_lightning.errors import CheckpointError
from hqsam_lightning.training.callbacks.last_checkpoint import LastCheckpoint
from hqsam_lightning.training.checkpoint import INFO_KEY, check_recipe, is_of_pretraining, read_checkpoint
from hqsam_lightning.training.run_folder import find_checkpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resumed:
    """A checkpoint that a run continues.

    Attributes:
        path: of its file.
        content: as read.
    """

    path: Path
    content: dict[str, Any]


def load_resumed(config: DictConfig, command: str, last: LastCheckpoint | None) -> Resumed | None:
    """Reads the checkpoint that the run continues, if any; nothing in the run's folder is touched.

    Args:
        config: of the run.
        command: name of the entry point, "train" or "pretrain".
        last: of the run; learns what of the checkpoint still holds.

    Raises:
        ConfigError: the folder holds another run, see `find_checkpoint`.
        CheckpointError: the checkpoint is damaged, another command's, or of another recipe.
    """
    path = find_checkpoint(Path(config.paths.output_dir), config.ckpt_path, config.resume)
    if path is None:
        return None
    content = read_checkpoint(path)
    if "loops" not in content:
        raise CheckpointError(
            f"ckpt_path={path}: expected a checkpoint that a run can be resumed from; it holds the weights of one "
            "variant alone; use checkpoints/last.ckpt of the run"
        )
    writer = "pretrain" if is_of_pretraining(content) else "train"
    if writer != command:
        raise CheckpointError(
            f"ckpt_path={path}: expected a checkpoint that {command} wrote; it is one of {writer}; "
            "use checkpoints/last.ckpt of the run"
        )
    plain, before = as_plain(config), content[INFO_KEY]["config"]
    check_recipe(content, plain)
    if last is not None:
        last.resumes_folder = last.path.parent.resolve() == path.parent.resolve()
        last.resumes_plan = all(before[key] == plain[key] for key in ("trainer", "callbacks"))
    log.info("continuing at step %d, from %s", content["global_step"], path)
    return Resumed(path, content)
