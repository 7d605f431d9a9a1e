"""Facts of a run that its numbers mean nothing without."""

from __future__ import annotations

from typing import Any

import lightning as L
from omegaconf import DictConfig

from hqsam_lightning.config import as_plain
from hqsam_lightning.data.catalogue import licenses_of
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.run_names import command_facts
from hqsam_lightning.runtime.code_facts import version_facts
from hqsam_lightning.storage.files import content_sha256
from hqsam_lightning.training.batching import BatchPlan
from hqsam_lightning.training.callbacks.fit_clock import FitClock
from hqsam_lightning.training.module import HQSamModule


def run_facts(
    config: DictConfig, trainer: L.Trainer, module: HQSamModule, plan: BatchPlan, data: str, clock: FitClock
) -> dict[str, Any]:
    """Facts as plain values, in the order that a report shows them."""
    return {
        "name": config.name,
        **command_facts("hqsam_lightning.train"),
        "seed": config.seed,
        "sam": module.sam.name,
        "sam_weights": config.sam.weights,
        "sam_sha256": module.sam.weights_sha256,
        "output": module.output,
        "data": data,
        "licenses": licenses_of(as_plain(config.data)),
        "data_sha256": content_sha256(module.data_facts),
        **({"begun_from": module.begun_from} if module.begun_from else {}),
        "batch": plan.describe(),
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "fit_seconds": round(clock.seconds, 1),
        "step_seconds": round(clock.seconds / max(trainer.global_step, 1), 3),
        **({} if clock.peak_memory is None else {"peak_memory_gib": round(clock.peak_memory / 2**30, 2)}),
        "trainable_parameters": parameter_counts(module),
        "total_parameters": total_parameter_counts(module),
        **version_facts(),
    }


def parameter_counts(module: HQSamModule | Model) -> dict[str, int]:
    """Trainable parameters by variant."""
    return {name: sum(value.numel() for value in head.learned.values()) for name, head in module.heads.items()}


def total_parameter_counts(module: HQSamModule | Model) -> dict[str, int]:
    """Parameters that inference needs, by variant: SAM's, and what a head adds to them."""
    shared = {value.data_ptr(): value.numel() for value in module.sam.parameters()}
    totals = {}
    for name, head in module.heads.items():
        own = sum(value.numel() for value in head.parameters() if value.data_ptr() not in shared)
        totals[name] = sum(shared.values()) + (0 if head.replaces else own)
    return totals
