"""Scores on a device without float64, for which the meta device stands in."""

from types import SimpleNamespace

import pytest
import torch

from hqsam_lightning import float64
from hqsam_lightning.float64 import where_float64
from hqsam_lightning.metrics import MeanMaskIoU


@pytest.mark.parametrize("device", ["cpu", "cuda", "meta"])
def test_values_stay_where_float64_is(device: str) -> None:
    values = SimpleNamespace(device=SimpleNamespace(type=device))
    assert where_float64(values) is values


def test_values_of_apples_devices_are_counted_on_the_cpu() -> None:
    assert where_float64(SimpleNamespace(device=SimpleNamespace(type="mps"), cpu=lambda: "moved")) == "moved"


def test_a_metric_moves_but_for_its_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float64, "NO_FLOAT64", ("meta",))
    moved = MeanMaskIoU().to("meta")
    assert (moved.total.device.type, moved.total.dtype) == ("cpu", torch.float64)
    assert moved.count.device.type == "meta"


def test_a_metric_moves_whole_otherwise() -> None:
    moved = MeanMaskIoU().to("meta")
    assert {moved.total.device.type, moved.count.device.type} == {"meta"}
