"""Facts of a run that its numbers mean nothing without."""

from __future__ import annotations

import os
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import lightning as L
import torch
from omegaconf import DictConfig

from hqsam_lightning import __version__
from hqsam_lightning.run_names import own_command
from hqsam_lightning.training.batching import BatchPlan
from hqsam_lightning.training.callbacks.fit_clock import FitClock
from hqsam_lightning.training.module import HQSamModule


def run_facts(
    config: DictConfig, trainer: L.Trainer, module: HQSamModule, plan: BatchPlan, data: str, clock: FitClock
) -> dict[str, Any]:
    """Facts as plain values, in the order a report shows them; the commit only where the code runs from a checkout."""
    commit = source_commit()
    return {
        "name": config.name,
        "command": own_command("hqsam_lightning.train"),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "seed": config.seed,
        "sam": module.sam.name,
        "sam_weights": config.sam.weights,
        "sam_sha256": module.sam.weights_sha256,
        "output": module.output,
        "dilation_ratio": config.evaluation.dilation_ratio,
        "data": data,
        "batch": plan.describe(),
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "fit_seconds": round(clock.seconds, 1),
        "step_seconds": round(clock.seconds / max(trainer.global_step, 1), 3),
        **_peak_memory(clock),
        "trainable_parameters": parameter_counts(module),
        "total_parameters": total_parameter_counts(module),
        "hqsam_lightning": __version__,
        **({"commit": commit} if commit else {}),
        "torch": torch.__version__,
    }


def _peak_memory(clock: FitClock) -> dict[str, float]:
    """Left out where it is not known."""
    return {} if clock.peak_memory is None else {"peak_memory_gib": round(clock.peak_memory / 2**30, 2)}


def parameter_counts(module: HQSamModule) -> dict[str, int]:
    """Trainable parameters by variant."""
    return {name: sum(value.numel() for value in head.learned.values()) for name, head in module.heads.items()}


def total_parameter_counts(module: HQSamModule) -> dict[str, int]:
    """Parameters that inference needs, by variant: SAM's, and what a head adds to them."""
    shared = {value.data_ptr(): value.numel() for value in module.sam.parameters()}
    totals = {}
    for name, head in module.heads.items():
        own = sum(value.numel() for value in head.parameters() if value.data_ptr() not in shared)
        totals[name] = sum(shared.values()) + (0 if head.replaces else own)
    return totals


def source_commit(file: Path = Path(__file__)) -> str | None:
    """Commit of the checkout that holds the file, "-dirty" where it has changes; None where git does not track it."""
    if _git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        return None
    return _git(file.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str | None:
    # the lock is for the user's own git commands: these only read
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(folder), *arguments]
    try:
        result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
