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
    boolean,
    choice,
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
from hqsam_lightning.schema.trainer_rules import TRAINER

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
