"""Types and ranges of the keys that are not arguments of a ``_target_``, by command. Every exact key is required."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address

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
    text,
    where,
)
from hqsam_lightning.data.framing import FRAMES, SHOWN
from hqsam_lightning.data.mask_values import AUTO, is_mask_values
from hqsam_lightning.data.problems import CHECKS
from hqsam_lightning.runtime import process_settings

WRITTEN = ("masks", "rle", "polygons", "cutouts", "overlays")
"""What a prediction can write."""
DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]+)?")


def _is_address(host: str) -> bool:
    try:
        return host == "localhost" or bool(ip_address(host))
    except ValueError:
        return False


SEED = integer(0, 2**32 - 1)
NAME = text(1, 200)

PATHS: Mapping[str, Expected] = {"paths.data_dir": path(), "paths.cache_dir": path(), "paths.output_dir": path()}
RUN: Mapping[str, Expected] = {
    "name": NAME,
    "seed": SEED,
    "ckpt_path": optional(path()),
    "resume": choice("auto", "never"),
    "loader.num_workers": integer(0, 1024),
    "loader.timeout": integer(0, 86_400),
    "val_prompts": where(
        mapping_of(anything()), "a mapping of names to prompts, at least one kind of prompts by name", bool
    ),
    **{f"process.{name}": expected for name, expected in process_settings.EXPECTED.items()},
    "callbacks": mapping_of(anything()),
    "logger*": optional(mapping_of(anything())),
    "paths.*": path(),
    **PATHS,
}

FRAME: Mapping[str, Expected] = {"frame": choice(*SHOWN), "margin": number(0, 10)}

TRAIN: Mapping[str, Expected] = {
    **RUN,
    **FRAME,
    "setting": text(1),
    "paper_table": optional(text(1)),
    "cache": optional(path()),
    "augmentations_per_image": optional(integer(1)),
    "batch.total": integer(1),
    "batch.max_per_device": integer(1),
    "sequential_backward": boolean(),
    "folds": optional(integer(2)),
    "average": optional(number(0, 1, below=True)),
    "variant_losses": mapping_of(anything()),
    "variants.*.weights": optional(path()),
    "evaluation.output": choice("hq", "sum"),
    "evaluation.metric": text(1),
    "evaluation.choose_output": boolean(),
    "evaluation.variant": optional(text(1)),
    "evaluation.filled_box": boolean(),
    "evaluation.group": optional(text(1)),
    "metrics": where(mapping_of(anything()), "a mapping of names to metrics, at least one", bool),
}
PRETRAIN: Mapping[str, Expected] = {
    **RUN,
    "only_validate": boolean(),
    "batch_size": integer(1),
    "rounds": integer(1, 1000),
    "decoder_lr_scale": number(0, 1000),
    "precision": choice("fp32", "bf16"),
    "start_share": number(0, 1, below=True),
}
EVALUATE: Mapping[str, Expected] = {
    "name": NAME,
    "seed": SEED,
    "ckpt": optional(either(path(), list_of(path()))),
    "which": choice("best", "last"),
    "protocols": where(
        list_of(choice(*FRAMES), least=1),
        f"a list of some of {', '.join(FRAMES)}, each once",
        lambda protocols: len(set(protocols)) == len(protocols),
    ),
    **FRAME,
    "batch_size": integer(1),
    "save_every": number(0, 86_400),
    "masks_at_once": integer(1),
    "strict": boolean(),
    "evaluation.filled_box": boolean(),
    "evaluation.group": optional(text(1)),
    **{key: RUN[key] for key in RUN if key.startswith(("loader.", "process.", "paths."))},
    "val_prompts": RUN["val_prompts"],
}
PREDICT: Mapping[str, Expected] = {
    "name": NAME,
    "model": text(1),
    "images": path(),
    "prompt": path(),
    "boxes": optional(list_of(anything(), least=1)),
    "points": optional(list_of(anything(), least=1)),
    "instances": optional(path()),
    "min_score": number(),
    "mask_values": where(
        anything(),
        "binary, soft, nonzero, alpha, ids, or a mapping {object: [...], ignore: [...]}",
        lambda value: value != AUTO and is_mask_values(value),
    ),
    "write": list_of(choice(*WRITTEN), least=1),
    "out": path(),
    "output": optional(choice("sam", "hq", "sum")),
    "multimask": boolean(),
    "frame": choice("photo", "box"),
    "margin": FRAME["margin"],
    "tile": optional(integer(16)),
    "overlap": integer(0),
    "automatic.points_per_side": integer(1, 1024),
    "automatic.pred_iou_thresh": number(),
    "automatic.stability_score_thresh": number(0, 1),
    "automatic.box_nms_thresh": number(0, 1),
    "automatic.crop_n_layers": integer(0, 8),
    "automatic.min_mask_region_area": integer(0),
    "device": where(text(1), "auto, cpu, cuda, cuda:NUMBER or mps", lambda name: bool(DEVICE.fullmatch(name))),
    "batch_size": integer(1),
    "prompts_per_call": integer(1),
    "sam_name": optional(text(1)),
    "sam_weights": optional(path()),
    "precision": optional(choice("fp32", "bf16", "fp16")),
    "revision": optional(text(1)),
    **{key: RUN[key] for key in RUN if key.startswith(("loader.", "process.", "paths."))},
}
REPORT: Mapping[str, Expected] = {
    # Hydra reads the name of a folder of digits as a number
    "runs": either(path(), list_of(either(path(), integer(0)), least=1)),
    "out": path(),
    "table": optional(path()),
    "coco": list_of(either(path(), integer(0))),
    "plot_metric": optional(text(1)),
}
SCENES: Mapping[str, Expected] = {
    "file": path(),
    "percent": integer(1, 1000),
    "rows": integer(1, 1000),
    "columns": integer(1, 1000),
}
DASHBOARD: Mapping[str, Expected] = {
    "entity": text(1),
    "project": text(1, 128),
    "name": text(1, 128),
    "metrics": list_of(text(1), least=1),
}
DEMO: Mapping[str, Expected] = {
    "model": path(),
    "output": optional(choice("sam", "hq", "sum")),
    "frame": choice("photo", "box"),
    "margin": FRAME["margin"],
    "sam_name": optional(text(1)),
    "sam_weights": optional(path()),
    "precision": optional(choice("fp32", "bf16", "fp16")),
    "device": text(1),
    "host": where(text(1), "localhost or an IP address such as 127.0.0.1", _is_address),
    "port": optional(integer(1, 65_535)),
    "limits.upload_megabytes": integer(1, 1000),
    "limits.photo_megapixels": integer(1, 200),
    "limits.sessions": integer(1, 10_000),
    "limits.embeddings": integer(1, 10_000),
    "limits.waiting": integer(1, 10_000),
}
DATA: Mapping[str, Expected] = {"paths.data_dir": path()}
DATA_CHECK: Mapping[str, Expected] = {
    **DATA,
    "check": choice(*CHECKS),
    "sources": optional(list_of(text(1), least=1)),
    "benchmark": optional(text(1)),
    **dict.fromkeys(("videos.images", "videos.annotations", "videos.names", "out"), optional(path())),
}
DATA_SUMMARY: Mapping[str, Expected] = {
    **DATA,
    "out": path(),
    "most_photos": optional(integer(1)),
    "seed": SEED,
}
DATA_DOWNLOAD: Mapping[str, Expected] = {
    **DATA,
    "sources": optional(list_of(text(1), least=1)),
    "repository": where(text(3), "ORG/NAME", lambda name: name.count("/") == 1),
    "folder": text(),
    "revision": text(1),
    "archives": path(),
    "keep_archives": boolean(),
}
EXPORT: Mapping[str, Expected] = {
    "model": path(),
    "format": text(1),
    "out": path(),
    "output": optional(choice("sam", "hq", "sum")),
    "sam_name": optional(text(1)),
    "sam_weights": optional(path()),
    "cache_dir": path(),
    "multimask_output": boolean(),
    "tolerance": number(0, 1),
    "max_iou_loss": number(0, 1),
    "scenes": integer(1, 10_000),
}

COMMANDS: Mapping[str, Mapping[str, Expected]] = {
    "train": TRAIN,
    "precompute": TRAIN,
    "pretrain": PRETRAIN,
    "evaluate": EVALUATE,
    "predict": PREDICT,
    "report": REPORT,
    "scenes": SCENES,
    "dashboard": DASHBOARD,
    "demo": DEMO,
    "export": EXPORT,
    "data_check": DATA_CHECK,
    "data_summary": DATA_SUMMARY,
    "data_download": DATA_DOWNLOAD,
}
"""Rules of each command."""

_RECIPE = (
    "sam",
    "data",
    "augmentation",
    "prompts",
    "loss",
    "optimizer",
    "scheduler",
    "trainer",
    "callbacks",
    "datamodule",
)
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "evaluate": ("sam", "suite", "trainer", "val_prompts", "metrics"),
    "train": (*_RECIPE, "variants", "module"),
    "precompute": (*_RECIPE, "variants"),
    "pretrain": (*_RECIPE, "ema"),
    **dict.fromkeys(("scenes", "data_check", "data_summary", "data_download"), ("data",)),
}
"""Sections that each command needs."""
