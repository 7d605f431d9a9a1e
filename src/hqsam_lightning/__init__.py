"""HQ-SAM (Segment Anything in High Quality, NeurIPS 2023) as a Lightning + Hydra experiment framework.

From Python: `compose` a config, `train` it, `load_run` what it has learned; `HQSam` and `SamPredictor` predict with it.
They are imported when they are first used.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hqsam_lightning.api import compose as compose
    from hqsam_lightning.api import load_run as load_run
    from hqsam_lightning.inference import HQSam as HQSam
    from hqsam_lightning.inference import SamPredictor as SamPredictor

# albumentations asks PyPI for a newer version when it is imported; a training run should not.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

__version__ = "0.1.0"


HOMES = {
    **dict.fromkeys(("compose", "load_run"), "hqsam_lightning.api"),
    **dict.fromkeys(("HQSam", "SamPredictor"), "hqsam_lightning.inference"),
}
"""Modules of the names that are imported when they are first used."""


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(importlib.import_module(HOMES[name]), name)
    if name == "train":
        # a module that can be called: the name is that of the command too
        return importlib.import_module("hqsam_lightning.train")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES, "train"})
