"""The section of a report that stands beside a table of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.escaping import escape_markdown
from hqsam_lightning.evaluation.table import BASELINE
from hqsam_lightning.recipe import flatten
from hqsam_lightning.reporting.costs import PAPER_NOTE, cost_comparison
from hqsam_lightning.reporting.markdown import markdown_table
from hqsam_lightning.reporting.metric_facts import NOTHING
from hqsam_lightning.reporting.numbers import MEAN_OF_SETS, Summary
from hqsam_lightning.reporting.paper import LABELS, Agreement, PaperRow, compare_order
from hqsam_lightning.reporting.runs import Recipe
from hqsam_lightning.reporting.tables import OUTPUT_NAMES, cell

OUTPUTS = ("hq", "sum")
MISSING = "missing"
MOST_PAIRS = 5
COCO_COLUMN = "COCO AP_B / AP"
NOTE = (
    "mIoU / mBIoU in percent; the paper's are means over its four sets with its own SAM, so the order of rows is what "
    "can be compared. A row without a run is missing."
)


def paper_section(summary: Summary, paper: Sequence[PaperRow]) -> list[str]:
    """Lines with the paper's numbers beside ours, then for each set and output whether the order by mIoU agrees.

    The mean over sets is shown where the paper gives no numbers by set.

    Raises:
        ConfigError: where a row of the table fits several recipes.
    """
    recipes = {row.name: _recipe_of(summary, row) for row in paper}
    has_mean = len(summary.datasets) > 1 and not any(row.sets for row in paper)
    datasets = [*summary.datasets, *([MEAN_OF_SETS] if has_mean else [])]
    columns = [(dataset, output) for dataset in datasets for output in OUTPUTS]
    by_label = {facts.label: {name: facts} for name, facts in summary.metrics.items()}
    metrics = {key: facts for label in LABELS.values() for key, facts in by_label.get(label, {}).items()}
    has_coco = any(row.coco for row in paper)
    lines = []
    for row in paper:
        recipe, prompts = recipes[row.name], row.prompts or summary.prompts[0]
        cells = [
            cell(summary, recipe, recipe.shown_row(row.variant, output), ((dataset, prompts), "all"), metrics=metrics)
            if recipe
            else MISSING
            for dataset, output in columns
        ]
        coco = [_numbers((row.coco.get("ap_b"), row.coco.get("ap"))), MISSING] if has_coco else []
        lines.append([row.name, _paper_cell(row), *cells, *coco])
    heads = ["method", "paper", *(f"{dataset}, {OUTPUT_NAMES[output]}" for dataset, output in columns)]
    heads += [f"{COCO_COLUMN}, paper", COCO_COLUMN] if has_coco else []
    order = [_order_line(summary, recipes, paper, *column) for column in columns]
    text = [NOTE, "", *markdown_table(pd.DataFrame(lines, columns=heads)), "Order of the rows by mIoU:", "", *order, ""]
    costs = cost_comparison(recipes, paper)
    return [*text, PAPER_NOTE, "", *markdown_table(costs)] if len(costs) else text


def _recipe_of(summary: Summary, row: PaperRow) -> Recipe | None:
    """The recipe that the row is from; None where it is missing. Plain SAM is the same in all that fit."""
    found = []
    for recipe in summary.recipes:
        values = flatten(recipe.runs[0].config)
        conditions = [row.when, *([row.miniature] if row.miniature else [])]
        fits = any(all(values.get(key) == value for key, value in each.items()) for each in conditions)
        if fits and any(variant == row.variant for variant, _ in recipe.rows):
            found.append(recipe)
    if len(found) > 1 and row.variant != BASELINE:
        raise ConfigError(
            f"runs: expected each row of the table in one recipe; {row.name} is in {found[0].label} and "
            f"{found[1].label}; make a report for each"
        )
    return found[0] if found else None


def _order_line(
    summary: Summary, recipes: Mapping[str, Recipe | None], paper: Sequence[PaperRow], dataset: str, output: str
) -> str:
    given = {row.name: row.sets.get(dataset, (row.miou, None))[0] for row in paper}
    theirs = {name: miou for name, miou in given.items() if miou is not None}
    metric = next((name for name, facts in summary.metrics.items() if facts.label == LABELS["miou"]), "")
    ours = {}
    for row in paper:
        recipe, place = recipes[row.name], (dataset, row.prompts or summary.prompts[0])
        number = recipe and summary.get(recipe.label, recipe.shown_row(row.variant, output), place, "all", metric)
        if number:
            ours[row.name] = number.mean
    missing = [name for name in theirs if name not in ours]
    absent = f" Missing: {', '.join(missing)}." if missing else ""
    sentences = f"{describe_agreement(compare_order(theirs, ours))}{absent}"
    return f"- {escape_markdown(f'{dataset}, {OUTPUT_NAMES[output]}: {sentences}')}"


def describe_agreement(agreement: Agreement) -> str:
    """Whether the order is the paper's, and the first `MOST_PAIRS` pairs that are not."""
    if agreement.tau is None:
        return f"{agreement.compared} row(s) to compare, which have no order."
    numbers = f"Kendall's tau {agreement.tau:.2f} over {agreement.compared} rows"
    if not agreement.swapped:
        return f"the order agrees with the paper's ({numbers})."
    pairs = "; ".join(f"{lower} is above {upper}" for upper, lower in agreement.swapped[:MOST_PAIRS])
    more = len(agreement.swapped) - MOST_PAIRS
    others = f"; and {more} more pairs" if more > 0 else ""
    return f"the order does not agree with the paper's ({numbers}). Here, and not in the paper, {pairs}{others}."


def _paper_cell(row: PaperRow) -> str:
    if row.sets:
        return ", ".join(f"{name} {_numbers(pair)}" for name, pair in row.sets.items())
    return _numbers((row.miou, row.mbiou))


def _numbers(pair: tuple[float | None, float | None]) -> str:
    return " / ".join(NOTHING if number is None else f"{number:.1f}" for number in pair)
