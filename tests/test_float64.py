"""Scores on a device without float64, for which the meta device stands in."""

from types import SimpleNamespace

import pytest

from hqsam_lightning.float64 import where_float64


@pytest.mark.parametrize("device", ["cpu", "cuda", "meta"])
def test_values_stay_where_float64_is(device: str) -> None:
    values = SimpleNamespace(device=SimpleNamespace(type=device))
    assert where_float64(values) is values


def test_values_of_apples_devices_are_counted_on_the_cpu() -> None:
    assert where_float64(SimpleNamespace(device=SimpleNamespace(type="mps"), cpu=lambda: "moved")) == "moved"
