"""The output that is chosen is better than plain SAM beyond chance: against differences and resampling by hand."""

import numpy as np
import pandas as pd
import pytest

from hqsam_lightning.evaluation.choosing import choose_output
from hqsam_lightning.evaluation.table import make_table
from hqsam_lightning.metrics import Metric, mask_iou

PHOTOS = 30
METRICS = {name: Metric(name, function=mask_iou) for name in ("iou", "boundary_iou")}
UP = np.linspace(0.04, 0.12, PHOTOS)  # better on every photo
NOISE = np.tile([0.3, -0.28], PHOTOS // 2)  # better on average, by chance
DOWN = -UP


def table_of(hq: dict[str, np.ndarray], sums: dict[str, np.ndarray]) -> pd.DataFrame:
    """Scores of plain SAM, 0.5 on every photo, and of a head's outputs, which differ by these gains."""
    gains = {("sam", "sam"): dict.fromkeys(hq, np.zeros(PHOTOS)), ("hq", "hq"): hq, ("hq", "sum"): sums}
    return make_table(
        [
            (
                "run",
                *row,
                "photos",
                f"photos/{photo:02}",
                0,
                "box",
                metric,
                0.5 + gain[photo],
                0.0,
                f"photos/{photo:02}",
            )
            for row, of_row in gains.items()
            for metric, gain in of_row.items()
            for photo in range(len(gain))
        ]
    )


def gains(boundary: np.ndarray, iou: np.ndarray) -> dict[str, np.ndarray]:
    return {"iou": iou, "boundary_iou": boundary}


@pytest.mark.parametrize(
    ("hq", "sums", "chosen"),
    [
        (gains(2 * UP, UP), gains(UP, UP), "hq"),
        (gains(UP, UP), gains(2 * UP, UP), "sum"),
        (gains(2 * UP, DOWN), gains(UP, UP), "sum"),
        (gains(2 * UP, DOWN), gains(UP, DOWN), "sam"),
        (gains(2 * UP, NOISE), gains(UP, UP), "hq"),
        (gains(NOISE, UP), gains(DOWN, UP), "sam"),
        (gains(NOISE + 2 * UP, UP), gains(UP, UP), "sum"),
        (gains(0 * UP, 0 * UP), gains(0 * UP, 0 * UP), "sam"),
    ],
    ids=["hq", "sum", "worse by the other", "all worse by the other", "other by chance", "chance", "surer", "equal"],
)
def test_evidence_decides(hq: dict, sums: dict, chosen: str) -> None:
    assert choose_output(table_of(hq, sums), "hq", "boundary_iou", METRICS) == chosen


def test_smaller_may_be_better() -> None:
    metrics = {**METRICS, "boundary_iou": Metric("error", function=mask_iou, greater_is_better=False)}
    table = table_of(gains(DOWN, UP), gains(UP, UP))
    assert choose_output(table, "hq", "boundary_iou", metrics) == "hq"
    assert choose_output(table, "hq", "boundary_iou", METRICS) == "sum"


def test_one_photo_is_no_evidence() -> None:
    table = table_of(gains(UP, UP), gains(UP, UP))
    assert choose_output(table[table["sample"] == "photos/00"], "hq", "boundary_iou", METRICS) == "sam"


@pytest.mark.parametrize("seed", [0, 3, 4, 5])
def test_the_interval_is_that_of_resampled_photos(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = {name: rng.normal(0.02 * (seed % 3), 0.08, (2, PHOTOS)) for name in ("hq", "sums")}
    means = {name: rng.choice(each[0], (4000, PHOTOS)).mean(1) for name, each in drawn.items()}
    lows = {name: np.quantile(each, 0.025) for name, each in means.items()}
    good = [name for name in drawn if lows[name] > 0 and drawn[name][1].mean() >= 0]

    expected = {"hq": "hq", "sums": "sum"}[max(good, key=lows.__getitem__)] if good else "sam"
    assert (
        choose_output(table_of(gains(*drawn["hq"]), gains(*drawn["sums"])), "hq", "boundary_iou", METRICS) == expected
    )
