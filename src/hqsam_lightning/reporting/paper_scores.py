"""The section of a report beside a table of the paper whose metrics are not mIoU and mBIoU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from hqsam_lightning.escaping import escape_markdown
from hqsam_lightning.reporting.markdown import heading, markdown_table
from hqsam_lightning.reporting.metric_facts import NOTHING, MetricFacts
from hqsam_lightning.reporting.numbers import MEAN_OF_SETS, Summary
from hqsam_lightning.reporting.paper import PaperRow, compare_order
from hqsam_lightning.reporting.paper_rows import MISSING, describe_agreement, recipe_of_row
from hqsam_lightning.reporting.runs import Recipe
from hqsam_lightning.reporting.tables import OUTPUT_NAMES, cell

OUTPUTS = ("sum", "hq")
NOTE = "In percent, the paper's / ours. A number that no run has is missing."


def score_section(summary: Summary, paper: Sequence[PaperRow]) -> list[str]:
    """For each output a table of the paper's numbers / ours, of the mean where there are several sets.

    Args:
        summary: of evaluations.
        paper: rows with scores, by the labels of metrics.

    Raises:
        ConfigError: a row of the table fits several recipes.
    """
    labels = list(dict.fromkeys(label for row in paper for label in row.scores))
    recipes = {row.name: recipe_of_row(summary, row) for row in paper}
    lines = [NOTE, ""]
    for dataset in summary.datasets if len(summary.datasets) == 1 else [MEAN_OF_SETS]:
        for output in OUTPUTS:
            lines += _of_output(summary, paper, labels, recipes, (dataset, output))
    return lines


def _of_output(
    summary: Summary,
    paper: Sequence[PaperRow],
    labels: Sequence[str],
    recipes: Mapping[str, Recipe | None],
    column: tuple[str, str],
) -> list[str]:
    dataset, output = column
    table, ours = [], {}
    for row in paper:
        found = [_ours(summary, row, label, recipes[row.name], column) for label in labels]
        cells = [f"{_number(row.scores.get(label))} / {own}" for label, own in zip(labels, found, strict=True)]
        table.append([row.name, *cells])
        if found[0] != MISSING:
            ours[row.name] = float(found[0].split()[0])
    theirs = {row.name: number for row in paper if (number := row.scores.get(labels[0])) is not None}
    sentence = f"By {labels[0]}: {describe_agreement(compare_order(theirs, ours))}"
    title = heading(3, f"{dataset}, {OUTPUT_NAMES[output]}")
    return [title, "", *markdown_table(pd.DataFrame(table, columns=["method", *labels])), escape_markdown(sentence), ""]


def _ours(summary: Summary, row: PaperRow, label: str, recipe: Recipe | None, column: tuple[str, str]) -> str:
    """A metric of a row's evaluation as text, by its label."""
    dataset, output = column
    metrics: dict[str, MetricFacts] = {name: facts for name, facts in summary.metrics.items() if facts.label == label}
    if recipe is None or not metrics:
        return MISSING
    place = (dataset, row.prompts or summary.prompts[0])
    text = cell(summary, recipe, recipe.shown_row(row.variant, output), (place, "all"), metrics=metrics)
    return MISSING if text == NOTHING else text


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"
