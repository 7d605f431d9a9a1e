"""Paired differences: the unit is the image, the interval is the bootstrap's, and it is always the same."""

import numpy as np
import pytest
from scipy import stats

from hqsam_lightning.evaluation.scores import MaskScores
from hqsam_lightning.reporting.paired import image_differences, mean_over_seeds, paired_difference

HQ = ("hq", "hq")


def mask(image: int, number: int, gain: float) -> MaskScores:
    return MaskScores("a", f"a/{image}", number, 0.0, {("sam", "sam"): (0.5, 0.25), HQ: (0.5 + gain, 0.25 + gain / 2)})


def test_masks_of_an_image_are_averaged_first() -> None:
    differences = image_differences([mask(0, 0, 0.5), mask(0, 1, 0.25), mask(1, 0, 0.0)], HQ)
    assert {name: values.tolist() for name, values in differences.items()} == {"a/0": [0.375, 0.1875], "a/1": [0, 0]}
    assert paired_difference(differences).miou.mean == 0.1875, "not the mean over the three masks"


def test_the_interval_is_close_to_students() -> None:
    """For 200 values of a normal distribution the two agree; wrong percentiles or unpaired resampling do not."""
    values = np.random.default_rng(0).normal([0.03, 0.06], [0.05, 0.1], (200, 2))
    found = paired_difference({f"{row:03d}": pair for row, pair in enumerate(values)})
    assert found.images == 200
    for interval, column in ((found.miou, values[:, 0]), (found.mbiou, values[:, 1])):
        error = column.std(ddof=1) / np.sqrt(200)
        low, high = stats.t.interval(0.95, 199, loc=column.mean(), scale=error)
        assert interval.mean == pytest.approx(column.mean())
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.15 * error)


def test_the_interval_is_that_of_a_plain_bootstrap() -> None:
    values = np.random.default_rng(1).exponential(1, 30)
    found = paired_difference({f"{row:02d}": np.array([value, 0.0]) for row, value in enumerate(values)})
    rng = np.random.default_rng(2)
    means = [values[rng.integers(0, 30, 30)].mean() for _ in range(4000)]
    assert (found.miou.low, found.miou.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), rel=0.04)


def test_the_interval_does_not_depend_on_the_order_or_the_time() -> None:
    values = {f"{row:02d}": pair for row, pair in enumerate(np.random.default_rng(0).normal(size=(20, 2)))}
    backwards = dict(reversed(values.items()))
    assert paired_difference(values) == paired_difference(backwards) == paired_difference(values)


def test_one_image_has_no_interval_and_equal_ones_a_point() -> None:
    one = paired_difference({"a/0": np.array([0.5, 0.25])})
    assert (one.images, one.miou.mean, one.miou.low, one.miou.high) == (1, 0.5, None, None)
    equal = paired_difference({f"a/{row}": np.array([0.5, 0.25]) for row in range(3)})
    assert (equal.mbiou.mean, equal.mbiou.low, equal.mbiou.high) == (0.25, 0.25, 0.25)


def test_seeds_are_averaged_for_each_image() -> None:
    runs = [image_differences([mask(0, 0, gain), mask(1, 0, 2 * gain)], HQ) for gain in (0.1, 0.3)]
    averaged = mean_over_seeds(runs)
    assert averaged["a/0"].tolist() == pytest.approx([0.2, 0.1])
    assert averaged["a/1"].tolist() == pytest.approx([0.4, 0.2])
