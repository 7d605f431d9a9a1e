"""Facts of a run that its numbers mean nothing without."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import Any

import lightning as L
import torch
from omegaconf import DictConfig

from hqsam_lightning import __version__
from hqsam_lightning.training.batching import BatchPlan
from hqsam_lightning.training.module import HQSamModule


def run_facts(
    config: DictConfig, trainer: L.Trainer, module: HQSamModule, plan: BatchPlan, seconds: float
) -> dict[str, Any]:
    """Facts as plain values, in the order a report shows them."""
    return {
        "name": config.name,
        "command": " ".join(["python -m hqsam_lightning.train", *sys.argv[1:]]),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "seed": config.seed,
        "sam": module.sam.name,
        "sam_weights": config.sam.weights,
        "sam_sha256": module.sam.weights_sha256,
        "output": module.output,
        "dilation_ratio": config.evaluation.dilation_ratio,
        "batch": plan.describe(),
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "fit_seconds": round(seconds, 1),
        "hqsam_lightning": __version__,
        "torch": torch.__version__,
    }
