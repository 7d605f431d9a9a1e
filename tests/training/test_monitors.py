"""Callbacks that monitor a metric which the run does not log are refused before training."""

from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.training.module import HQSamModule
from hqsam_lightning.training.monitors import check_monitors


def module(*datasets: str) -> HQSamModule:
    rows = [("sam", "sam"), ("hq", "hq"), ("hq", "sum")]
    scorer = SimpleNamespace(datasets=list(datasets), prompts=["box"], metrics={"iou": None, "mine": None})
    parts: dict[str, Any] = {"scorer": scorer, "rows": rows, "trained": {"hq": None}}
    made = SimpleNamespace(**parts)
    made.log_key = partial(HQSamModule.log_key, made)
    return cast(HQSamModule, made)


SOUND = ["val/hq/mine", "val/a/hq/sum/thin_iou", "val/b/c/sam/sam/mine", "train/loss", "train/hq/own", "epoch", "step"]


@pytest.mark.parametrize("monitor", SOUND)
def test_metrics_that_the_run_logs_are_taken(monitor: str) -> None:
    check_monitors({"best": ModelCheckpoint(monitor=monitor), "mine": Callback()}, module("a", "b/c"))


@pytest.mark.parametrize(
    "monitor", ["val/nope", "val/c/hq/hq/iou", "val/a/hq/sam/iou", "val/sam/iou", "train/other/loss", "val/a"]
)
@pytest.mark.parametrize("kind", [ModelCheckpoint, EarlyStopping])
def test_others_are_named_with_near_ones(monitor: str, kind: type) -> None:
    with pytest.raises(ConfigError, match=rf"^callbacks\.mine\.monitor: .*such as .*/.*; got {monitor}$"):
        check_monitors({"mine": kind(monitor=monitor)}, module("a", "b/c"))


def test_without_validation_sets_nothing_is_asked_of_them() -> None:
    check_monitors({"best": ModelCheckpoint(monitor="val/hq/mine")}, module())
    with pytest.raises(ConfigError, match="train/x"):
        check_monitors({"best": ModelCheckpoint(monitor="train/x")}, module())
