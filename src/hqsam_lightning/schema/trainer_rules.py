"""The supported arguments of Lightning's Trainer, which docs/trainer.md lists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hqsam_lightning.checks import (
    Expected,
    anything,
    boolean,
    choice,
    either,
    integer,
    list_of,
    number,
    optional,
    text,
    where,
)

BATCHES = Expected(
    "null, an integer >= 1, or a share in (0, 1] with a decimal point",
    lambda value: value is None or integer(1).accepts(value) or (isinstance(value, float) and 0 < value <= 1),
)
VAL_BATCHES = Expected(
    "null, an integer >= 0, or a share in (0, 1] with a decimal point",
    lambda value: (value == 0 and integer().accepts(value)) or BATCHES.accepts(value),
)
LIMIT = Expected("-1 for none, or an integer >= 1", either(choice(-1), integer(1)).accepts)
DURATION = re.compile(r"\d+:\d\d:\d\d:\d\d")


def only(wanted: Any, reason: str) -> Expected:
    """A single value, for options of Lightning that a run cannot honour."""
    shown = "null" if wanted is None else str(wanted).lower()
    return Expected(f"{shown}, because {reason}", choice(wanted).accepts)


FLOAT32 = "heads and loss stay in float32; sam.precision=bf16 autocasts the frozen encoder alone"

TRAINER: Mapping[str, Expected] = {
    "accelerator": choice("auto", "cpu", "gpu", "cuda", "mps"),
    "devices": Expected(
        "auto, an integer >= 1, -1 for all, or a list of device numbers",
        either(choice("auto", -1), integer(1), list_of(integer(0), least=1)).accepts,
    ),
    "num_nodes": integer(1),
    "strategy": Expected(
        "auto, ddp, ddp_find_unused_parameters_true, or a DDPStrategy as a _target_: others (FSDP, DeepSpeed, spawned "
        "processes) shard the frozen SAM or lose the scores, and are not supported",
        choice("auto", "ddp", "ddp_find_unused_parameters_true").accepts,
    ),
    "precision": Expected(f"null or 32-true, because {FLOAT32}", choice(None, 32, "32", "32-true").accepts),
    "logger": only(None, "loggers are the config's logger=csv or logger=wandb; leave the key out"),
    "callbacks": only(None, "callbacks are the config's callbacks.NAME; leave the key out"),
    "fast_dev_run": only(False, "it drops loggers and checkpoints; debug=fast takes two batches of each"),
    "max_epochs": LIMIT,
    "min_epochs": optional(integer(0)),
    "max_steps": LIMIT,
    "min_steps": optional(integer(0)),
    "max_time": optional(where(text(), "a duration DD:HH:MM:SS", lambda value: DURATION.fullmatch(value) is not None)),
    "limit_train_batches": BATCHES,
    "limit_val_batches": VAL_BATCHES,
    "limit_test_batches": only(None, "there is no test loop"),
    "limit_predict_batches": only(None, "there is no predict loop"),
    "overfit_batches": Expected(
        "0, because it replaces the sampler that a resumed run continues with; use trainer.limit_train_batches, or few "
        "samples in data",
        lambda value: number(0, 0).accepts(value),
    ),
    "val_check_interval": BATCHES,
    "check_val_every_n_epoch": optional(integer(1)),
    "num_sanity_val_steps": optional(integer(-1)),
    "log_every_n_steps": optional(integer(0)),
    "enable_checkpointing": optional(boolean()),
    "enable_progress_bar": optional(boolean()),
    "enable_model_summary": optional(boolean()),
    "accumulate_grad_batches": only(1, "it follows from batch.total, batch.max_per_device and the devices; set those"),
    "gradient_clip_val": optional(number(0, above=True)),
    "gradient_clip_algorithm": choice(None, "norm", "value"),
    "deterministic": choice(None, True, False, "warn"),
    "benchmark": optional(boolean()),
    "inference_mode": boolean(),
    "use_distributed_sampler": only(False, "the package's samplers spread the samples over the processes themselves"),
    "profiler": choice(None, "simple", "advanced", "pytorch"),
    "detect_anomaly": boolean(),
    "barebones": only(False, "a run needs its loggers and checkpoints"),
    "plugins": optional(list_of(anything())),
    "sync_batchnorm": only(
        False, "nothing that learns here has batch norms, and the frozen SAM's must stay as they are"
    ),
    "reload_dataloaders_every_n_epochs": only(0, "the loader keeps the position that a resumed run continues from"),
    "default_root_dir": optional(text(1)),
    "enable_autolog_hparams": boolean(),
    "model_registry": only(None, "checkpoints go to the run's folder"),
}
