"""Types and ranges of arguments, by the class or function that takes them.

Our constructors declare theirs where they are (`hqsam_lightning.checks.arguments`). Here are those of builders without
such a declaration, and of other packages. Arguments without a rule are checked by their annotation.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from hqsam_lightning.checks import (
    Expected,
    anything,
    boolean,
    choice,
    either,
    integer,
    list_of,
    mapping_of,
    number,
    optional,
    path,
    rising_pair,
    share_or_count,
    text,
    where,
)
from hqsam_lightning.data.catalogue import FIELDS
from hqsam_lightning.data.datasets.scenes import SCENES
from hqsam_lightning.metrics.functional import DILATION
from hqsam_lightning.schema.annotations import annotated

PACKAGE = "hqsam_lightning"
FOUR = list_of(integer(1), 4, 4)
PROBABILITY = number(0, 1)
PUBLISHED = where(
    mapping_of(text(1), ("url", "sha256")),
    "a mapping of url (http or https) and sha256 (64 hex digits)",
    lambda file: (
        re.match(r"https?://\S+$", str(file.get("url"))) is not None
        and re.fullmatch("[0-9a-f]{64}", str(file.get("sha256"))) is not None
    ),
)
MONITOR = where(
    text(1),
    "a metric that a run logs: val/VARIANT/METRIC, val/SET/VARIANT/OUTPUT/METRIC, train/loss or train/VARIANT/loss; "
    "or epoch or step",
    lambda name: name.startswith(("val/", "train/")) or name in ("epoch", "step"),
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
"""The supported arguments of Lightning's Trainer, which docs/trainer.md lists."""

TARGETS: Mapping[str, Mapping[str, Expected]] = {
    "hqsam_lightning.sam.build.build_sam": {
        "name": text(1, 100),
        "image_size": integer(32, 8192),
        "patch_size": integer(1, 1024),
        "embed_dim": where(integer(16), "a multiple of 16", lambda value: value % 16 == 0),
        "mlp_dim": integer(1),
        "published": optional(PUBLISHED),
        "attention": choice("fused", "eager"),
        "precision": choice("fp32", "bf16", "fp16"),
    },
    "hqsam_lightning.sam.encoder.vit_encoder": {
        "embed_dim": integer(1),
        "depth": integer(1),
        "num_heads": integer(1),
        "window_size": integer(1),
        "global_attn_indexes": list_of(integer(0), least=1),
    },
    "hqsam_lightning.sam.tiny_vit.TinyViTEncoder": {
        "embed_dims": FOUR,
        "depths": FOUR,
        "num_heads": FOUR,
        "window_sizes": FOUR,
        "early": choice("merged", "stacked"),
    },
    "hqsam_lightning.sam.efficientnet.EfficientNetEncoder": {"variant": choice("lite0", "lite1")},
    "hqsam_lightning.data.sets.synthetic_sets": {
        **SCENES,
        "train_size": integer(1),
        "val_size": integer(1),
        "val_masks": SCENES["masks"],
    },
    "hqsam_lightning.data.sets.folder_sets": {
        "sources": list_of(text(1)),
        "val_sources": list_of(text(1)),
        "check": choice("quick", "full"),
        "holdout": share_or_count(),
        "license": optional(choice("permissive")),
    },
    "hqsam_lightning.metrics.functional.boundary_iou": {"dilation_ratio": DILATION},
    "hqsam_lightning.metrics.contours.boundary_f": {"dilation_ratio": DILATION},
    "hqsam_lightning.data.catalogue.Source": FIELDS,
    "hqsam_lightning.training.loggers.RunWandbLogger": {
        "project": text(1, 128),
        "name": optional(text(1, 128)),
        "group": optional(text(1, 128)),
        "tags": optional(list_of(text(1, 64))),
    },
    "lightning.pytorch.loggers.csv_logs.CSVLogger": {
        "name": path(),
        "flush_logs_every_n_steps": integer(1),
    },
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint": {
        "filename": optional(path()),
        "monitor": optional(MONITOR),
        "mode": choice("min", "max"),
        "save_top_k": integer(-1),
        "every_n_train_steps": optional(integer(0)),
        "every_n_epochs": optional(integer(0)),
    },
    "lightning.pytorch.callbacks.early_stopping.EarlyStopping": {
        "monitor": MONITOR,
        "mode": choice("min", "max"),
        "patience": integer(0),
    },
    "lightning.pytorch.strategies.ddp.DDPStrategy": {
        "process_group_backend": choice(None, "nccl", "gloo"),
        "find_unused_parameters": boolean(),
        "gradient_as_bucket_view": boolean(),
        "broadcast_buffers": boolean(),
    },
    "lightning.pytorch.trainer.trainer.Trainer": TRAINER,
    "albumentations.core.transforms_interface.BasicTransform": {"p": PROBABILITY},
    "hqsam_lightning.data.patchwork.Patchwork": {
        "patches": rising_pair(),
        "share": PROBABILITY,
    },
    "torch.optim.optimizer.Optimizer": {
        "lr": number(0, above=True),
        "betas": list_of(number(0, 1, below=True), 2, 2),
        "weight_decay": number(0, 1000),
        "eps": number(0, 1, above=True),
        "momentum": number(0, 1, below=True),
        "alpha": number(0, 1),
    },
    "torch.optim.lr_scheduler.LRScheduler": {
        "step_size": integer(1),
        "gamma": number(0, 10, above=True),
        "milestones": list_of(integer(0), least=1),
        "T_max": integer(1),
        "T_0": integer(1),
        "T_mult": integer(1),
        "eta_min": number(0, 1000),
        "max_lr": number(0, 1000, above=True),
        "total_iters": integer(1),
        "total_steps": integer(1),
        "factor": number(0, 1, above=True),
        "start_factor": number(0, 1, above=True),
        "end_factor": number(0, 1),
        "power": number(0, 100),
    },
}
"""Rules by the full name of the class or function, for its subclasses too."""


@lru_cache(maxsize=512)
def expected_of(target: Callable[..., Any]) -> Mapping[str, Expected]:
    """Expectations of the arguments of a target: from annotations, from `TARGETS`, and as it declares them."""
    found: dict[str, Expected] = {}
    inherits = True
    for kind in inspect.getmro(target) if inspect.isclass(target) else (target,):
        constructor = vars(kind).get("__init__") if inspect.isclass(kind) else kind
        own = getattr(constructor, "__expects__", {}) if inherits else {}
        found = {**TARGETS.get(_name(kind), {}), **own, **found}
        # a constructor of another package may mean something else by the same name
        inherits = inherits and (constructor is None or kind.__module__.startswith(PACKAGE))
    return {**annotated(target), **found}


def _name(target: Any) -> str:
    return f"{getattr(target, '__module__', '')}.{getattr(target, '__qualname__', '')}"
