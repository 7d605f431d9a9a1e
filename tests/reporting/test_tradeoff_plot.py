"""Figure 2: accuracy against speed, of what was measured and of the paper."""

from pathlib import Path

import pytest

from conftest import ROOT
from example_runs import CONFIG, FACTS, METRICS, make_table
from hqsam_lightning.reporting.costs import measured_costs
from hqsam_lightning.reporting.numbers import Summary
from hqsam_lightning.reporting.paper import read_paper_table
from hqsam_lightning.reporting.runs import Recipe, Run
from hqsam_lightning.reporting.tradeoff_plot import draw_tradeoff, measured_points, paper_points

SPEEDS = {
    "trainable_parameters": {"sam": 0, "hq": 2**19},
    "total_parameters": {"sam": 2**20, "hq": 2**20 + 2**19},
    "inference": {"sam": {"images_per_second": 10.0}, "hq": {"images_per_second": 8.0}},
}


def make_recipe(*facts: dict) -> Recipe:
    tables = [make_table(seed) for seed, _ in enumerate(facts)]
    runs = [Run(Path("run"), FACTS | each, CONFIG, table, METRICS) for each, table in zip(facts, tables, strict=True)]
    return Recipe("run", runs)


def test_speeds_are_means_over_seeds() -> None:
    faster = SPEEDS | {"inference": {"sam": {"images_per_second": 12.0}, "hq": {"images_per_second": 9.0}}}
    costs = measured_costs(make_recipe(SPEEDS, faster), "hq")
    assert costs == {"trainable_mib": 2.0, "total_mib": 6.0, "images_per_second": 8.5}
    assert measured_costs(make_recipe(SPEEDS, faster), "sam")["images_per_second"] == 11.0


def test_points_are_what_was_scored_and_timed() -> None:
    summary = Summary([make_recipe(SPEEDS)])
    sam, hq = measured_points(summary)
    assert (sam.name, sam.plain, sam.speed, sam.size) == ("sam", True, 10.0, 4.0)
    assert (hq.name, hq.plain, hq.speed, hq.size) == ("hq", False, 8.0, 6.0)
    table = make_table(0)
    scores = table[(table["output"] == "hq") & (table["metric"] == "boundary_iou")]["value"]
    assert (hq.score, hq.unit) == (pytest.approx(100 * sum(scores) / len(scores)), "mBIoU %")
    assert measured_points(Summary([make_recipe({})])) == []


def test_the_papers_points_are_eight_models() -> None:
    points = paper_points(read_paper_table(ROOT / "experiments" / "table10_backbones" / "table.yaml"))
    assert len(points) == 8
    light = next(point for point in points if point.name == "light_hq_sam")
    assert (light.speed, light.size, light.score, light.plain) == (41.2, 40.3, 71.6, False)
    axis, other = draw_tradeoff({"a": points, "b": points[:1]}).axes
    assert len(axis.collections) == 8
    assert len(axis.lines) == 4, "each HQ-SAM is joined to its SAM"
    assert not other.lines
