"""Parallel coordinates: which keys are axes, and where the lines run."""

from pathlib import Path

import numpy as np
import pytest

from example_runs import CONFIG, FACTS, METRICS, make_table
from hqsam_lightning.reporting.numbers import Summary
from hqsam_lightning.reporting.runs import Recipe, Run
from hqsam_lightning.reporting.sweep_plot import draw_sweep, swept_keys

POINTS = [(1e-4, "conv", 0.05), (1e-3, "fpn", 0.3), (1e-2, "conv", 0.1)]


def make_summary(count: int = 3) -> Summary:
    recipes = []
    for rate, fusion, gain in POINTS[:count]:
        config = CONFIG | {"optimizer": {"lr": rate}, "head": {"fusion": fusion}, "epochs": 5}
        run = Run(Path("run"), FACTS, config, make_table(1, gain=gain), METRICS)
        recipes.append(Recipe(f"{rate}", [run]))
    return Summary(recipes)


def test_axes_are_what_differs() -> None:
    assert swept_keys(make_summary()) == ["optimizer.lr", "head.fusion"]
    assert swept_keys(make_summary(2)) == []


def test_lines_run_through_the_points_values() -> None:
    summary = make_summary()
    (axis,) = draw_sweep(summary, swept_keys(summary)).axes
    lines = [line.get_ydata() for line in axis.get_lines() if len(line.get_xdata()) == 4]
    by_rate = sorted(lines, key=lambda line: line[0])
    assert [line[0] for line in by_rate] == pytest.approx([0, 0.5, 1])  # a logarithmic axis
    assert [line[1] for line in by_rate] == [0, 1, 0]
    means = [summary.get(f"{rate}", ("hq", "hq"), ("scenes", "box"), "all", "boundary_iou").mean for rate, *_ in POINTS]
    expected = (np.array(means) - min(means)) / (max(means) - min(means))
    assert [line[3] for line in by_rate] == pytest.approx(expected)
    assert [label.get_text() for label in axis.get_xticklabels()] == [
        "optimizer.lr",
        "head.fusion",
        "mIoU %",
        "mBIoU %",
    ]
    assert lines[-1][3] == 1  # the best is drawn last
    written = {text.get_text() for text in axis.texts}
    assert {"0.0001", "0.01", "conv", "fpn"} <= written
