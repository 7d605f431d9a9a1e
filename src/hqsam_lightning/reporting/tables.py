"""The tables that results and reports are made of, as text: one row per method, one column per set or group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

Place = tuple[Set, str]
"""(set, group of objects): what a column is of."""


def overview(summary: Summary) -> pd.DataFrame:
    """The scores of all objects, sets side by side, and their mean by each prompts."""
    columns = [(summary.name_of(place), (place, "all")) for place in summary.sets]
    for prompts in summary.prompts if len(summary.datasets) > 1 else ():
        name = "mean" if prompts == summary.prompts[0] else f"mean, {prompts}"
        columns.append((name, ((MEAN_OF_SETS, prompts), "all")))
    return _table(summary, columns, "mean")


def set_scores(summary: Summary, place: Set) -> pd.DataFrame:
    """A set's scores by group of objects, whose numbers of masks the heads name."""
    of_set = (summary.table["dataset"] == place[0]) & (summary.table["prompts"] == place[1])
    masks = summary.table[of_set & (summary.table["sample"] != WHOLE_SET)].drop_duplicates(MASK)
    columns = [(f"{group} ({len(of_objects(masks, group))})", (place, group)) for group in GROUPS_OF_OBJECTS]
    return _table(summary, columns, "mean")


def set_differences(summary: Summary, place: Set, groups: Sequence[str] = GROUPS_OF_OBJECTS) -> pd.DataFrame:
    """What each method gains over plain SAM on a set, with 95 % intervals."""
    return _table(summary, [(group, (place, group)) for group in groups], "difference")


def metric_lines(summary: Summary, place: Set, quantity: str = "mean") -> pd.DataFrame:
    """A set's other metrics, a line for each and a column per method; "difference" is that to plain SAM."""
    rows = [pair for pair in all_rows(summary) if quantity == "mean" or pair[1] != BASELINE_ROW]
    heads = [", ".join(name for name in _names(summary, *pair) if name != NOTHING) for pair in rows]
    lines = [
        [facts.label, *(cell(summary, *pair, (place, "all"), quantity, {name: facts}) for pair in rows)]
        for name, facts in summary.in_lines.items()
    ]
    found = [line for line in lines if any(text != NOTHING for text in line[1:])]
    return pd.DataFrame(found, columns=["metric", *heads])


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
    """The numbers of metrics, by default those `in_cells`, such as "63.2 ± 0.4 / 41.0 ± 0.2"; a dash where none is."""
    texts = []
    for name, metric in (summary.in_cells if metrics is None else metrics).items():
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


def _table(summary: Summary, columns: Sequence[tuple[str, Place]], quantity: str) -> pd.DataFrame:
    """A row per method, and a column per name and place; two columns may have one name."""
    lines = []
    for recipe, row in all_rows(summary):
        if quantity == "mean" or row != BASELINE_ROW:
            count = recipe.runs[0].facts.get("trainable_parameters", {}).get(row[0])
            parameters = [NOTHING if count is None else f"{count:,}"] if quantity == "mean" else []
            cells = [cell(summary, recipe, row, place, quantity) for _, place in columns]
            lines.append([*_names(summary, recipe, row), *parameters, *cells])
    parameters = ["trainable parameters"] if quantity == "mean" else []
    return pd.DataFrame(lines, columns=[*_name_heads(summary), *parameters, *(name for name, _ in columns)])


def _name_heads(summary: Summary) -> list[str]:
    return [*(["recipe"] if len(summary.recipes) > 1 else []), "method", "logits"]


def _names(summary: Summary, recipe: Recipe, row: Row) -> list[str]:
    is_shared = row[0] in UNTRAINED and len(sams(summary)) == 1
    label = [NOTHING if is_shared else recipe.label] if len(summary.recipes) > 1 else []
    return [*label, row[0], OUTPUT_NAMES[row[1]]]
