"""A report's numbers, against plain numpy over the same made-up masks."""

from pathlib import Path

import numpy as np
import pytest

from example_runs import CONFIG, FACTS, make_masks
from hqsam_lightning.reporting.recall_plot import draw_recall
from hqsam_lightning.reporting.runs import Recipe, Run
from hqsam_lightning.reporting.summary import MEAN_OF_SETS, THRESHOLDS, Summary, mean_pair, recall

HQ = ("hq", "hq")


def make_recipe(seeds: list[int], label: str = "quickstart", sets: tuple[str, ...] = ("scenes", "ecssd")) -> Recipe:
    runs = [
        Run(Path(f"run{seed}"), FACTS | {"seed": seed}, CONFIG, [m for name in sets for m in make_masks(seed, name)])
        for seed in seeds
    ]
    return Recipe(label, runs)


def column(run: Run, dataset: str, thin: bool | None, place: int, row: tuple[str, str] = HQ) -> np.ndarray:
    chosen = [m for m in run.masks if m.dataset == dataset and thin in (None, m.thin)]
    return np.array([mask.scores[row][place] for mask in chosen])


def test_means_and_spread_over_seeds() -> None:
    recipe = make_recipe([1, 2, 3])
    summary = Summary([recipe])
    for group, thin in (("all", None), ("thin", True), ("solid", False)):
        for place, metric in enumerate(("miou", "mbiou")):
            means = [column(run, "scenes", thin, place).mean() for run in recipe.runs]
            entry = summary.get("quickstart", HQ, "scenes", group, metric)
            assert (entry.mean, entry.std) == (pytest.approx(np.mean(means)), pytest.approx(np.std(means, ddof=1)))
            assert (entry.least, entry.greatest) == (pytest.approx(min(means)), pytest.approx(max(means)))
            assert (entry.seeds, entry.count) == (3, 12 if thin is None else 6)


def test_one_seed_has_no_spread() -> None:
    entry = Summary([make_recipe([1])]).get("quickstart", HQ, "scenes", "all", "miou")
    assert (entry.std, entry.seeds) == (None, 1)


def test_the_mean_of_sets_counts_each_set_once() -> None:
    recipe = make_recipe([1, 2])
    means = [np.mean([column(run, name, None, 0).mean() for name in ("scenes", "ecssd")]) for run in recipe.runs]
    entry = Summary([recipe]).get("quickstart", HQ, MEAN_OF_SETS, "all", "miou")
    assert (entry.mean, entry.count) == (pytest.approx(np.mean(means)), 2)
    one_set = Summary([make_recipe([1], sets=("scenes",))])
    assert one_set.get("quickstart", HQ, MEAN_OF_SETS, "all", "miou") is None


def test_differences_are_over_images_averaged_over_seeds() -> None:
    recipe = make_recipe([1, 2, 3])
    entry = Summary([recipe]).get("quickstart", HQ, "scenes", "thin", "mbiou_difference")
    gains = [column(run, "scenes", True, 1) - column(run, "scenes", True, 1, ("sam", "sam")) for run in recipe.runs]
    by_image = np.mean(gains, axis=0)
    assert (entry.mean, entry.count) == (pytest.approx(by_image.mean()), 6)
    rng = np.random.default_rng(5)
    means = [by_image[rng.integers(0, 6, 6)].mean() for _ in range(4000)]
    assert (entry.low, entry.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), rel=0.02)


def test_plain_sam_is_not_compared_with_itself() -> None:
    summary = Summary([make_recipe([1])])
    assert summary.get("quickstart", ("sam", "sam"), "scenes", "all", "miou_difference") is None


def test_recall_is_the_share_above_each_threshold() -> None:
    assert recall([0.5, 0.55, 0.7, 0.95], [0.5, 0.6, 0.9]) == [0.75, 0.5, 0.25]
    assert THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
    recipe = make_recipe([1, 2])
    entry = Summary([recipe]).get("quickstart", HQ, "scenes", "all", "recall@0.55")
    shares = [(column(run, "scenes", None, 1) > 0.55).mean() for run in recipe.runs]
    assert 0 < shares[0] < 1
    assert (entry.mean, entry.least) == (pytest.approx(np.mean(shares)), min(shares))


def test_cells_show_mean_and_spread() -> None:
    summary = Summary([make_recipe([1, 2])])
    miou, mbiou = (summary.get("quickstart", HQ, "scenes", "all", metric) for metric in ("miou", "mbiou"))
    expected = " / ".join(f"{100 * entry.mean:.1f} ± {100 * entry.std:.1f}" for entry in (miou, mbiou))
    assert mean_pair(summary, "quickstart", HQ, "scenes", "all") == expected
    assert mean_pair(summary, "quickstart", HQ, "nowhere", "all") == "-"


def test_the_plot_has_a_panel_a_set_and_a_line_a_variant() -> None:
    summary = Summary([make_recipe([1, 2], "a"), make_recipe([1], "b")])
    panels = draw_recall(summary).axes
    assert [panel.get_title() for panel in panels] == ["scenes", "ecssd"]
    lines = {line.get_label(): line for line in panels[0].get_lines()}
    assert set(lines) == {"SAM", "hq (HQ logits), a", "hq (HQ logits), b"}
    expected = [summary.get("a", HQ, "scenes", "all", f"recall@{t:.2f}").mean for t in THRESHOLDS]
    np.testing.assert_allclose(lines["hq (HQ logits), a"].get_ydata(), expected)
    bands = [band.get_paths()[0].vertices[:, 1] for band in panels[0].collections]
    greatest = [summary.get("a", HQ, "scenes", "all", f"recall@{t:.2f}").greatest for t in THRESHOLDS]
    assert bands[1].max() == pytest.approx(max(greatest))
