"""The numbers of a report: what each row of each recipe scored, over seeds, as one flat list of entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hqsam_lightning.evaluation.scores import BASELINE_ROW, GROUPS, MaskScores, Row
from hqsam_lightning.reporting.markdown import NOTHING, percent
from hqsam_lightning.reporting.paired import Difference, image_differences, mean_over_seeds, paired_difference
from hqsam_lightning.reporting.runs import Recipe, by_dataset, describe_sam

METRICS = ("miou", "mbiou")
MEAN_OF_SETS = "mean of sets"
THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(9))


@dataclass(frozen=True)
class Entry:
    """One number over the seeds of a recipe, and a line of report.csv.

    Attributes:
        recipe: label of the recipe.
        variant: name of the method.
        output: "sam", "hq" or "sum".
        dataset: validation set, or "mean of sets".
        group: "all", "thin" or "solid" objects.
        quantity: "miou", "mbiou", "miou_difference", "mbiou_difference" (to plain SAM) or "recall@0.50" and on (share
            of masks whose boundary IoU is above that).
        mean: over seeds, in shares: 0.5 is 50 %.
        std: standard deviation over seeds (n - 1); None for one seed.
        least: smallest over seeds.
        greatest: largest over seeds.
        low: lower end of a difference's 95 % interval over images.
        high: upper end.
        seeds: number of runs.
        count: masks; images for a difference; sets for their mean.
    """

    recipe: str
    variant: str
    output: str
    dataset: str
    group: str
    quantity: str
    mean: float
    std: float | None
    least: float
    greatest: float
    low: float | None
    high: float | None
    seeds: int
    count: int


class Summary:
    """The entries of a report, looked up by what they are of.

    Args:
        recipes: as grouped.
    """

    def __init__(self, recipes: Sequence[Recipe]) -> None:
        self.recipes = list(recipes)
        self.sets = by_dataset(recipes[0].runs[0].masks)
        self.entries = [entry for recipe in recipes for entry in _recipe_entries(recipe)]
        self._index = {
            (entry.recipe, entry.variant, entry.output, entry.dataset, entry.group, entry.quantity): entry
            for entry in self.entries
        }

    @property
    def baselines(self) -> list[str]:
        """Labels of the recipes that plain SAM is shown of: the first of each frozen SAM."""
        first: dict[str, str] = {}
        for recipe in self.recipes:
            first.setdefault(describe_sam(recipe.runs[0]), recipe.label)
        return list(first.values())

    def get(self, recipe: str, row: Row, dataset: str, group: str, quantity: str) -> Entry | None:
        """The entry, or None where the set has no such objects."""
        return self._index.get((recipe, *row, dataset, group, quantity))


def recall(bious: Sequence[float], thresholds: Sequence[float] = THRESHOLDS) -> list[float]:
    """Share of masks whose boundary IoU is above each threshold: the curve of figure 4.

    Args:
        bious: at least one, in [0, 1].
        thresholds: in [0, 1].
    """
    values = np.asarray(bious)
    return [float((values > threshold).mean()) for threshold in thresholds]


def recall_quantity(threshold: float) -> str:
    """The name of a recall in the entries, such as "recall@0.50"."""
    return f"recall@{threshold:.2f}"


def mean_pair(summary: Summary, recipe: str, row: Row, dataset: str, group: str) -> str:
    """Mean scores in percent as a report shows them, such as "63.2 ± 0.4 / 41.0 ± 0.2"; a dash where there is none."""
    entries = [summary.get(recipe, row, dataset, group, metric) for metric in METRICS]
    return " / ".join(_mean_and_spread(entry) for entry in entries if entry) or NOTHING


def _mean_and_spread(entry: Entry) -> str:
    return percent(entry.mean) if entry.std is None else f"{percent(entry.mean)} ± {percent(entry.std)}"


def _recipe_entries(recipe: Recipe) -> list[Entry]:
    entries: list[Entry] = []
    runs = [by_dataset(run.masks) for run in recipe.runs]
    for row in recipe.rows:
        for dataset in runs[0]:
            for group in GROUPS:
                chosen = [[mask for mask in run[dataset] if mask.belongs_to(group)] for run in runs]
                if chosen[0]:
                    make = _maker(recipe, row, dataset, group)
                    entries += [*_means(make, row, chosen), *_differences(make, row, chosen)]
                    entries += _recalls(make, row, chosen)
        if len(runs[0]) > 1:
            entries += _means_of_sets(_maker(recipe, row, MEAN_OF_SETS, "all"), row, runs)
    return entries


def _means(make: Callable[..., Entry], row: Row, runs: list[list[MaskScores]]) -> list[Entry]:
    pairs = np.array([np.mean([mask.scores[row] for mask in masks], axis=0) for masks in runs])
    return [make(metric, pairs[:, column], len(runs[0])) for column, metric in enumerate(METRICS)]


def _differences(make: Callable[..., Entry], row: Row, runs: list[list[MaskScores]]) -> list[Entry]:
    if row == BASELINE_ROW:
        return []
    images = [image_differences(masks, row) for masks in runs]
    pairs = np.array([np.mean(list(run.values()), axis=0) for run in images])
    difference: Difference = paired_difference(mean_over_seeds(images))
    entries = []
    for column, (metric, interval) in enumerate(zip(METRICS, (difference.miou, difference.mbiou), strict=True)):
        entries.append(
            make(f"{metric}_difference", pairs[:, column], difference.images, low=interval.low, high=interval.high)
        )
    return entries


def _recalls(make: Callable[..., Entry], row: Row, runs: list[list[MaskScores]]) -> list[Entry]:
    curves = np.array([recall([mask.scores[row][1] for mask in masks]) for masks in runs])
    return [make(recall_quantity(t), curves[:, place], len(runs[0])) for place, t in enumerate(THRESHOLDS)]


def _means_of_sets(make: Callable[..., Entry], row: Row, runs: list[dict[str, list[MaskScores]]]) -> list[Entry]:
    pairs = np.array(
        [
            np.mean([np.mean([mask.scores[row] for mask in masks], axis=0) for masks in run.values()], axis=0)
            for run in runs
        ]
    )
    return [make(metric, pairs[:, column], len(runs[0])) for column, metric in enumerate(METRICS)]


def _maker(recipe: Recipe, row: Row, dataset: str, group: str) -> Callable[..., Entry]:
    def make(
        quantity: str, values: np.ndarray, count: int, low: float | None = None, high: float | None = None
    ) -> Entry:
        std = float(values.std(ddof=1)) if len(values) > 1 else None
        mean, least, greatest = float(values.mean()), float(values.min()), float(values.max())
        place = (recipe.label, *row, dataset, group)
        return Entry(*place, quantity, mean, std, least, greatest, low, high, len(values), count)

    return make
