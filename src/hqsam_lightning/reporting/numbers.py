"""The numbers of a report: means, differences and recalls of each recipe over its seeds, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from hqsam_lightning.evaluation.table import CELL, WHOLE_SET, Row, differences, summarise, unit_differences
from hqsam_lightning.reporting.metric_facts import MetricFacts
from hqsam_lightning.reporting.runs import Recipe

MEAN_OF_SETS = "mean of sets"
THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(9))
NAMES = ("recipe", *(name for name in CELL if name != "run"))
COLUMNS = (*NAMES, "quantity", "mean", "std", "least", "greatest", "low", "high", "seeds", "count")
"""Columns of `numbers_of`, those of report.csv.

recipe: its label; variant, output, dataset, prompts, group_of_objects, metric: see `evaluation.table`, and
`MEAN_OF_SETS` as dataset; quantity: "mean", "difference" (to plain SAM) or "recall@0.50" and on (share of masks whose
value is above that); mean, std (n - 1), least, greatest: over seeds, as measured: 0.5 is 50 %; low, high: ends of a
difference's 95 % interval over images; seeds: number of runs; count: masks; units (images) of a difference; sets of
their mean. What is not known is NaN.
"""

MOST_IN_A_CELL = 4
"""Metrics of masks that one cell of a table has; more get a line each."""

Set = tuple[str, str]
"""(dataset, prompts): a validation set as it was prompted."""


def numbers_of(recipe: Recipe, recall_of: str | None) -> pd.DataFrame:
    """The numbers of a recipe, with the columns `COLUMNS`.

    Args:
        recipe: its runs scored the same masks.
        recall_of: metric whose recall is taken; None takes none.
    """
    table = pd.concat([run.table.assign(run=str(place)) for place, run in enumerate(recipe.runs)])
    means = _means(table)
    parts = [_over_seeds(means, "mean"), _differences(table)]
    if recall_of is not None:
        values = table[(table["metric"] == recall_of) & (table["sample"] != WHOLE_SET)]
        for threshold in THRESHOLDS:
            above = values.assign(value=(values["value"] > threshold).astype(float))
            parts.append(_over_seeds(_means(above), recall(threshold)))
    if means["dataset"].nunique() > 1:
        parts.append(_over_seeds(_means_of_sets(means), "mean"))
    numbers = pd.concat([part for part in parts if len(part)] or parts[:1])
    return numbers.assign(recipe=recipe.label).reindex(columns=[*COLUMNS])


def recall(threshold: float) -> str:
    """The quantity of a recall, such as "recall@0.50"."""
    return f"recall@{threshold:.2f}"


class Summary:
    """The numbers of a report, looked up by what they are of.

    Args:
        recipes: as grouped, at least one; their runs scored the same masks by the same metrics.
        metric: that plots show and recalls are of; None takes the one that the runs' best checkpoints are chosen by.

    Attributes:
        recipes: see above.
        metric: name of that metric.
        metrics: of the tables, by name.
        sets: (dataset, prompts) pairs, the main prompts first.
        datasets: names of the validation sets.
        prompts: names of the prompts, the main ones first.
        table: scores of one run, for what all runs have in common.
        numbers: see `numbers_of`.
    """

    def __init__(self, recipes: Sequence[Recipe], metric: str | None = None) -> None:
        first = recipes[0].runs[0]
        self.recipes, self.metrics, self.table = list(recipes), first.metrics, first.table
        self.metric = recipes[0].metric if metric is None else metric
        pairs = self.table[["dataset", "prompts"]].drop_duplicates()
        self.sets: list[Set] = list(pairs.itertuples(index=False, name=None))
        self.datasets = list(dict.fromkeys(dataset for dataset, _ in self.sets))
        self.prompts = list(dict.fromkeys(prompts for _, prompts in self.sets))
        recalled = self.metric if self.recalled else None
        self.numbers = pd.concat([numbers_of(recipe, recalled) for recipe in recipes], ignore_index=True)
        width = len(NAMES) + 1
        self._index = {line[:width]: line for line in self.numbers.itertuples(index=False, name="Number")}

    @property
    def in_cells(self) -> dict[str, MetricFacts]:
        """The metrics of masks that tables write side by side: all of them where they are few, otherwise none."""
        names = set(self.table.loc[self.table["sample"] != WHOLE_SET, "metric"])
        return {name: facts for name, facts in self.metrics.items() if name in names and len(names) <= MOST_IN_A_CELL}

    @property
    def in_lines(self) -> dict[str, MetricFacts]:
        """The other metrics, each of which has a line of its own."""
        return {name: facts for name, facts in self.metrics.items() if name not in self.in_cells}

    @property
    def shown(self) -> MetricFacts:
        """The facts of `metric`."""
        return self.metrics[self.metric]

    @property
    def recalled(self) -> MetricFacts | None:
        """The facts of `metric` where its values are shares, which recalls have thresholds for, and those of masks."""
        of_masks = (self.table["metric"] == self.metric) & (self.table["sample"] != WHOLE_SET)
        return self.shown if self.shown.percent and of_masks.any() else None

    @property
    def main_set(self) -> Set:
        """What a recipe is judged by: the mean over sets by the main prompts, or the only set."""
        return (MEAN_OF_SETS if len(self.datasets) > 1 else self.datasets[0]), self.prompts[0]

    def get(self, recipe: str, row: Row, place: Set, group: str, metric: str, quantity: str = "mean") -> Any:
        """The line of `numbers` as a named tuple, or None where the set has no such objects."""
        return self._index.get((recipe, *row, *place, group, metric, quantity))

    def name_of(self, place: Set) -> str:
        """The set's name; with the prompts where they are not the main ones."""
        dataset, prompts = place
        return dataset if prompts == self.prompts[0] else f"{dataset}, {prompts}"


def _means(table: pd.DataFrame) -> pd.DataFrame:
    return summarise(table).rename(columns={"mean": "value", "masks": "count"})


def _means_of_sets(means: pd.DataFrame) -> pd.DataFrame:
    keys = [name for name in CELL if name != "dataset"]
    of_all = means[means["group_of_objects"] == "all"].groupby(keys, sort=False)["value"]
    return of_all.agg(value="mean", count="size").reset_index().assign(dataset=MEAN_OF_SETS)


def _differences(table: pd.DataFrame) -> pd.DataFrame:
    """Spread over seeds, and the interval of each image's mean over seeds."""
    units = unit_differences(table).groupby([*CELL], sort=False)["value"]
    of_runs = units.agg(value="mean", count="size").reset_index()
    pooled = differences(table, pool_runs=True)[[*CELL, "mean", "low", "high"]].drop(columns="run")
    spread = _over_seeds(of_runs, "difference").drop(columns="mean")
    return spread.merge(pooled, on=[name for name in CELL if name != "run"], validate="one_to_one")


def _over_seeds(values: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Lines of `COLUMNS` from one value per run."""
    keys = [name for name in CELL if name != "run"]
    groups = values.groupby(keys, sort=False)
    spread = groups["value"].agg(mean="mean", std="std", least="min", greatest="max", seeds="size")
    return spread.assign(count=groups["count"].first(), quantity=quantity).reset_index()
