"""The tables that results and reports are made of, as text: one row per method, one column per set or group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import pandas as pd

from hqsam_lightning.evaluation.table import (
    BASELINE,
    BASELINE_ROW,
    BOX_ROW,
    GROUPS_OF_OBJECTS,
    WHOLE_SET,
    Row,
    of_objects,
)
from hqsam_lightning.reporting.metric_facts import NOTHING, MetricFacts
from hqsam_lightning.reporting.numbers import MEAN_OF_SETS, THRESHOLDS, Set, Summary, recall
from hqsam_lightning.reporting.runs import MASK, Recipe

OUTPUT_NAMES = {"sam": "SAM", "hq": "HQ", "sum": "SAM + HQ", "box": "filled box"}
UNTRAINED = (BASELINE, BOX_ROW[0])
"""Variants that are the same in all recipes over one SAM."""

MOST_IN_CELL = 4
"""How many metrics a cell has where sets stand side by side."""

Place = tuple[Set, str]
"""(set, group of objects): what a column is of."""
Column = tuple[str, Place, Mapping[str, MetricFacts]]
"""Its name, what it is of, and the metrics of its cells."""


def overview(summary: Summary) -> pd.DataFrame:
    """The scores of all objects by the first metrics, sets side by side, and their mean by each prompts."""
    metrics = first_metrics(summary)
    columns: list[Column] = [(summary.name_of(place), (place, "all"), metrics) for place in summary.sets]
    for prompts in summary.prompts if len(summary.datasets) > 1 else ():
        name = "mean" if prompts == summary.prompts[0] else f"mean, {prompts}"
        columns.append((name, ((MEAN_OF_SETS, prompts), "all"), metrics))
    return _table(summary, columns, "mean")


def first_metrics(summary: Summary) -> dict[str, MetricFacts]:
    """The metrics of `overview`."""
    return dict(islice(summary.metrics.items(), MOST_IN_CELL))


def set_scores(summary: Summary, place: Set) -> pd.DataFrame:
    """A set's scores: of masks by group of objects, whose numbers the heads name; of the whole set by metric."""
    of_set = (summary.table["dataset"] == place[0]) & (summary.table["prompts"] == place[1])
    masks = summary.table[of_set & (summary.table["sample"] != WHOLE_SET)].drop_duplicates(MASK)
    names = {group: f"{group} ({len(of_objects(masks, group))})" for group in GROUPS_OF_OBJECTS}
    return _table(summary, _columns(summary, place, names), "mean")


def set_differences(summary: Summary, place: Set, groups: Sequence[str] = GROUPS_OF_OBJECTS) -> pd.DataFrame:
    """What each method gains over plain SAM on a set, with 95 % intervals where masks are scored."""
    return _table(summary, _columns(summary, place, {group: group for group in groups}), "difference")


def set_recalls(summary: Summary, place: Set) -> pd.DataFrame:
    """Recalls of the report's metric on a set, in percent, and by how many percent fewer masks are missed."""
    metric = MetricFacts("recall")
    lines = []
    for recipe, row in shown_rows(summary):
        numbers = [recall_at(summary, recipe, row, place, threshold) for threshold in THRESHOLDS]
        cells = [metric.text(number.mean) for number in numbers]
        sam = recall_at(summary, recipe, BASELINE_ROW, place, THRESHOLDS[0])
        fewer = NOTHING
        if row != BASELINE_ROW and sam.mean < 1:
            fewer = metric.text((numbers[0].mean - sam.mean) / (1 - sam.mean))
        lines.append([*_names(summary, recipe, row), *cells, fewer])
    heads = [*_name_heads(summary), *(f"{threshold:.2f}" for threshold in THRESHOLDS), "fewer misses"]
    return pd.DataFrame(lines, columns=heads)


def recall_at(summary: Summary, recipe: Recipe, row: Row, place: Set, threshold: float) -> Any:
    """The recall of all objects of a set, which has some."""
    return summary.get(recipe.label, row, place, "all", summary.metric, recall(threshold))


def cell(
    summary: Summary,
    recipe: Recipe,
    row: Row,
    place: Place,
    quantity: str = "mean",
    metrics: Mapping[str, MetricFacts] | None = None,
) -> str:
    """The numbers of all metrics, such as "63.2 ± 0.4 / 41.0 ± 0.2"; a dash where there is none."""
    texts = []
    for name, metric in (summary.metrics if metrics is None else metrics).items():
        number = summary.get(recipe.label, row, *place, name, quantity)
        if number is not None and quantity == "mean":
            texts.append(metric.with_spread(number.mean, number.std))
        elif number is not None:
            texts.append(metric.with_interval(number.mean, number.low, number.high))
    return " / ".join(texts) or NOTHING


def shown_rows(summary: Summary) -> list[tuple[Recipe, Row]]:
    """Each plain SAM once, and each other variant by the output of its runs."""
    return [(recipe, row) for recipe, row in all_rows(summary) if row in recipe.shown_rows]


def all_rows(summary: Summary) -> list[tuple[Recipe, Row]]:
    """(recipe, row) pairs; what is the same for all recipes over one SAM once."""
    seen: set[tuple[str, Row]] = set()
    rows = []
    for recipe in summary.recipes:
        for row in recipe.rows:
            key = (recipe.runs[0].sam if row[0] in UNTRAINED else recipe.label, row)
            if key not in seen:
                seen.add(key)
                rows.append((recipe, row))
    return rows


def sams(summary: Summary) -> set[str]:
    """The frozen SAMs of the recipes."""
    return {recipe.runs[0].sam for recipe in summary.recipes}


def _columns(summary: Summary, place: Set, groups: Mapping[str, str]) -> list[Column]:
    """A column per group of objects, which are called as given, and one per metric of the whole set."""
    of_masks = summary.mask_metrics
    columns: list[Column] = [(name, (place, group), of_masks) for group, name in groups.items() if of_masks]
    return columns + [(each.unit, (place, "all"), {name: each}) for name, each in summary.set_metrics.items()]


def _table(summary: Summary, columns: Sequence[Column], quantity: str) -> pd.DataFrame:
    """A row per method, and a column per name and place; two columns may have one name."""
    lines = []
    for recipe, row in all_rows(summary):
        if quantity == "mean" or row != BASELINE_ROW:
            count = recipe.runs[0].facts.get("trainable_parameters", {}).get(row[0])
            parameters = [NOTHING if count is None else f"{count:,}"] if quantity == "mean" else []
            cells = [cell(summary, recipe, row, place, quantity, metrics) for _, place, metrics in columns]
            lines.append([*_names(summary, recipe, row), *parameters, *cells])
    parameters = ["trainable parameters"] if quantity == "mean" else []
    return pd.DataFrame(lines, columns=[*_name_heads(summary), *parameters, *(name for name, *_ in columns)])


def _name_heads(summary: Summary) -> list[str]:
    return [*(["recipe"] if len(summary.recipes) > 1 else []), "method", "logits"]


def _names(summary: Summary, recipe: Recipe, row: Row) -> list[str]:
    is_shared = row[0] in UNTRAINED and len(sams(summary)) == 1
    label = [NOTHING if is_shared else recipe.label] if len(summary.recipes) > 1 else []
    return [*label, row[0], OUTPUT_NAMES[row[1]]]
