"""The W&B logger, which works without credentials and never asks for them."""

from __future__ import annotations

import os
from pathlib import Path

import wandb
from lightning.pytorch.loggers import WandbLogger


def build_wandb_logger(
    save_dir: str, project: str, name: str | None = None, group: str | None = None, tags: list[str] | None = None
) -> WandbLogger:
    """Builds a logger that writes offline unless W&B has a key or `WANDB_MODE` says otherwise.

    Args:
        save_dir: folder that holds `wandb/`; an offline run there is uploaded with `wandb sync`.
        project: W&B project.
        name: of the run.
        group: of runs that belong together.
        tags: of the run.
    """
    Path(save_dir).mkdir(parents=True, exist_ok=True)
    mode = os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False, verify=False) else "offline")
    return WandbLogger(
        save_dir=save_dir, project=project, name=name, group=group, tags=tags, mode=mode, offline=mode != "online"
    )
