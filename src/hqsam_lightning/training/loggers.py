"""The W&B logger, which works without credentials and never asks for them, and what a run tells it at the end."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.loggers import Logger, WandbLogger


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


def log_results(loggers: Sequence[Logger], rows: Sequence[Mapping[str, Any]]) -> None:
    """Logs the result table to W&B: a line a row and validation set, scores in percent.

    Args:
        loggers: of the run; others than W&B's are left alone.
        rows: see `hqsam_lightning.reporting.results.result_rows`.
    """
    columns = ["method", "logits", "trainable parameters", "set", "masks", "mIoU", "mBIoU"]
    lines = [
        [*(row[key] for key in ("variant", "logits", "trainable_parameters")), name, cell["masks"]]
        + [round(100 * cell[metric], 2) for metric in ("miou", "mbiou")]
        for row in rows
        for name, cell in row["sets"].items()
    ]
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_table("results", columns=columns, data=lines)
