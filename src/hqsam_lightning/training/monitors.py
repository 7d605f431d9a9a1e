"""Checks before training that callbacks monitor metrics which the run logs; Lightning checks after a validation."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from itertools import product

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation.table import GROUPS_OF_OBJECTS
from hqsam_lightning.training.module import HQSamModule

ALWAYS = ("epoch", "step", "train/loss")
NEAREST = 4


def check_monitors(callbacks: Mapping[str, L.Callback], module: HQSamModule) -> None:
    """Checks that checkpoints and early stopping monitor metrics that the run logs.

    Without validation sets, metrics of validation are not checked.

    Raises:
        ConfigError: naming the key and the nearest metrics.
    """
    names = [*ALWAYS, *_validation_metrics(module)]
    of_variants = tuple(f"train/{variant}/" for variant in module.trained)
    for name, callback in callbacks.items():
        monitor = callback.monitor if isinstance(callback, ModelCheckpoint | EarlyStopping) else None
        if monitor is None or monitor in names or monitor.startswith(of_variants):
            continue
        if module.scorer.datasets or not monitor.startswith("val/"):
            near = difflib.get_close_matches(monitor, names, n=NEAREST, cutoff=0)
            raise ConfigError(
                f"callbacks.{name}.monitor: expected a metric that this run logs, such as {', '.join(near)}; "
                f"got {monitor}"
            )


def _validation_metrics(module: HQSamModule) -> list[str]:
    scorer = module.scorer
    objectives = [f"val/{variant}/{metric}" for variant, metric in product(module.trained, scorer.metrics)]
    means = product(scorer.datasets, scorer.prompts, module.rows, GROUPS_OF_OBJECTS, scorer.metrics)
    return objectives + [module.log_key(name, prompts, *row, *rest) for name, prompts, row, *rest in means]
