"""A report's numbers, against plain numpy over the same made-up tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from example_runs import CONFIG, FACTS, METRICS, make_table
from hqsam_lightning.reporting.metric_facts import MetricFacts
from hqsam_lightning.reporting.numbers import MEAN_OF_SETS, THRESHOLDS, Summary
from hqsam_lightning.reporting.recall_plot import draw_recall
from hqsam_lightning.reporting.runs import Recipe, Run
from hqsam_lightning.reporting.tables import cell

HQ = ("hq", "hq")


SCENES = ("scenes", "box")


def make_recipe(seeds: list[int], label: str = "quickstart", sets: tuple[str, ...] = ("scenes", "ecssd")) -> Recipe:
    tables = [pd.concat([make_table(seed, name) for name in sets], ignore_index=True) for seed in seeds]
    facts = [FACTS | {"seed": seed} for seed in seeds]
    runs = [Run(Path("run"), fact, CONFIG, table, METRICS) for fact, table in zip(facts, tables, strict=True)]
    return Recipe(label, runs)


def column(run: Run, dataset: str, thin: bool | None, metric: str, row: tuple[str, str] = HQ) -> np.ndarray:
    lines = run.table.to_dict("records")
    return np.array(
        [
            line["value"]
            for line in lines
            if (line["dataset"], line["variant"], line["output"], line["metric"]) == (dataset, *row, metric)
            and thin in (None, line["mask"] == 1)
        ]
    )


def test_means_and_spread_over_seeds() -> None:
    recipe = make_recipe([1, 2, 3])
    summary = Summary([recipe])
    for group, thin in (("all", None), ("thin", True), ("solid", False)):
        for metric in METRICS:
            means = [column(run, "scenes", thin, metric).mean() for run in recipe.runs]
            entry = summary.get("quickstart", HQ, SCENES, group, metric)
            assert (entry.mean, entry.std) == (pytest.approx(np.mean(means)), pytest.approx(np.std(means, ddof=1)))
            assert (entry.least, entry.greatest) == (pytest.approx(min(means)), pytest.approx(max(means)))
            assert (entry.seeds, entry.count) == (3, 12 if thin is None else 6)


def test_one_seed_has_no_spread() -> None:
    entry = Summary([make_recipe([1])]).get("quickstart", HQ, SCENES, "all", "iou")
    assert (np.isnan(entry.std), entry.seeds) == (True, 1)


def test_the_mean_of_sets_counts_each_set_once() -> None:
    recipe = make_recipe([1, 2])
    means = [np.mean([column(run, name, None, "iou").mean() for name in ("scenes", "ecssd")]) for run in recipe.runs]
    entry = Summary([recipe]).get("quickstart", HQ, (MEAN_OF_SETS, "box"), "all", "iou")
    assert (entry.mean, entry.count) == (pytest.approx(np.mean(means)), 2)
    one_set = Summary([make_recipe([1], sets=("scenes",))])
    assert one_set.get("quickstart", HQ, (MEAN_OF_SETS, "box"), "all", "iou") is None


def test_differences_are_over_images_averaged_over_seeds() -> None:
    recipe = make_recipe([1, 2, 3])
    entry = Summary([recipe]).get("quickstart", HQ, SCENES, "thin", "boundary_iou", "difference")
    gains = [
        column(run, "scenes", True, "boundary_iou") - column(run, "scenes", True, "boundary_iou", ("sam", "sam"))
        for run in recipe.runs
    ]
    by_image = np.mean(gains, axis=0)
    assert (entry.mean, entry.count) == (pytest.approx(by_image.mean()), 6)
    rng = np.random.default_rng(5)
    means = [by_image[rng.integers(0, 6, 6)].mean() for _ in range(4000)]
    assert (entry.low, entry.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), rel=0.02)


def test_plain_sam_is_not_compared_with_itself() -> None:
    summary = Summary([make_recipe([1])])
    assert summary.get("quickstart", ("sam", "sam"), SCENES, "all", "iou", "difference") is None


@pytest.mark.parametrize("metric", [None, "iou"])
def test_recall_is_the_share_above_each_threshold(metric: str | None) -> None:
    """Of the metric that the runs chose checkpoints by, or of any other."""
    assert THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
    recipe, name = make_recipe([1, 2]), metric or "boundary_iou"
    summary = Summary([recipe], metric)
    entry = summary.get("quickstart", HQ, SCENES, "all", name, "recall@0.55")
    shares = [(column(run, "scenes", None, name) > 0.55).mean() for run in recipe.runs]
    assert 0 < shares[0] < 1
    assert (entry.mean, entry.least) == (pytest.approx(np.mean(shares)), min(shares))


def test_cells_show_mean_and_spread_of_every_metric() -> None:
    recipe = make_recipe([1, 2])
    summary = Summary([recipe])
    numbers = [summary.get("quickstart", HQ, SCENES, "all", metric) for metric in METRICS]
    expected = " / ".join(f"{100 * number.mean:.1f} ± {100 * number.std:.1f}" for number in numbers)
    assert cell(summary, recipe, HQ, (SCENES, "all")) == expected
    assert cell(summary, recipe, HQ, (("nowhere", "box"), "all")) == "-"


def test_values_that_are_no_shares_have_no_percent_and_no_recall() -> None:
    table, metrics = make_table(1, metrics=("iou", "distance")), {"iou": METRICS["iou"]}
    run = Run(Path("run"), FACTS, CONFIG, table, {**metrics, "distance": MetricFacts("px", False, False)})
    summary = Summary([Recipe("a", [run])])
    assert summary.metric == "distance"
    assert summary.recalled is None
    assert not summary.numbers["quantity"].str.startswith("recall").any()
    first, second = cell(summary, summary.recipes[0], HQ, (SCENES, "all")).split(" / ")
    assert float(second) == pytest.approx(column(run, "scenes", None, "distance").mean(), abs=5e-4)
    assert float(first) == pytest.approx(100 * column(run, "scenes", None, "iou").mean(), abs=0.05)


def test_the_plot_has_a_panel_a_set_and_a_line_a_variant() -> None:
    summary = Summary([make_recipe([1, 2], "a"), make_recipe([1], "b")])
    panels = draw_recall(summary).axes
    assert [panel.get_title() for panel in panels] == ["scenes", "ecssd"]
    lines = {line.get_label(): line for line in panels[0].get_lines()}
    assert set(lines) == {"SAM", "hq (HQ), a", "hq (HQ), b"}
    points = [summary.get("a", HQ, SCENES, "all", "boundary_iou", f"recall@{t:.2f}") for t in THRESHOLDS]
    expected = [point.mean for point in points]
    np.testing.assert_allclose(lines["hq (HQ), a"].get_ydata(), expected)
    bands = [band.get_paths()[0].vertices[:, 1] for band in panels[0].collections]
    assert bands[1].max() == pytest.approx(max(point.greatest for point in points))
