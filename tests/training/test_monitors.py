"""Callbacks that go by a metric which the run does not log are refused before training."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.training.module import HQSamModule
from hqsam_lightning.training.monitors import check_monitors


def module(*datasets: str) -> HQSamModule:
    rows = [("sam", "sam"), ("hq", "hq"), ("hq", "sum")]
    parts: dict[str, Any] = {"board": SimpleNamespace(datasets=list(datasets)), "rows": rows, "trained": {"hq": None}}
    return cast(HQSamModule, SimpleNamespace(**parts))


SOUND = ["val/mbiou", "val/a/hq/sum/thin_miou", "val/b/c/sam/sam/mbiou", "train/loss", "train/hq/own", "epoch", "step"]


@pytest.mark.parametrize("monitor", SOUND)
def test_metrics_that_the_run_logs_are_taken(monitor: str) -> None:
    check_monitors({"best": ModelCheckpoint(monitor=monitor), "mine": Callback()}, module("a", "b/c"))


@pytest.mark.parametrize("monitor", ["val/nope", "val/c/hq/hq/miou", "val/a/hq/sam/miou", "train/other/loss", "val/a"])
@pytest.mark.parametrize("kind", [ModelCheckpoint, EarlyStopping])
def test_others_are_named_with_near_ones(monitor: str, kind: type) -> None:
    with pytest.raises(ConfigError, match=rf"^callbacks\.mine\.monitor: .*such as .*/.*; got {monitor}$"):
        check_monitors({"mine": kind(monitor=monitor)}, module("a", "b/c"))


def test_without_validation_sets_nothing_is_asked_of_them() -> None:
    check_monitors({"best": ModelCheckpoint(monitor="val/mbiou")}, module())
    with pytest.raises(ConfigError, match="train/x"):
        check_monitors({"best": ModelCheckpoint(monitor="train/x")}, module())
