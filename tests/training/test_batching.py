"""The recipe's batch on any number of devices."""

import pytest

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.training.batching import plan_batch


@pytest.mark.parametrize(
    ("devices", "per_device", "accumulate"), [(8, 4, 1), (1, 4, 8), (2, 4, 4), (16, 2, 1), (32, 1, 1)]
)
def test_the_papers_batch(devices: int, per_device: int, accumulate: int) -> None:
    plan = plan_batch(32, 4, devices)
    assert (plan.per_device, plan.accumulate) == (per_device, accumulate)
    assert f"batch of 32 images per step = {devices} device(s) x {per_device} image(s)" in plan.describe()


@pytest.mark.parametrize("total", range(1, 40))
@pytest.mark.parametrize("limit", [1, 3, 4, 7])
def test_no_image_is_lost_and_no_device_overfilled(total: int, limit: int) -> None:
    plan = plan_batch(total, limit, 1)
    assert plan.per_device * plan.accumulate == total
    assert plan.per_device <= limit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((32, 4, 3), "expected a multiple of the 3 devices; got 32"),
        ((4, 4, 8), "expected a multiple of the 8 devices; got 4"),
    ],
)
def test_what_does_not_divide_is_named(arguments: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_batch(*arguments)
