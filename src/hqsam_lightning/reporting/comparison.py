"""The section of a report that stands beside a table of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from hqsam_lightning.escaping import escape_markdown
from hqsam_lightning.reporting.costs import PAPER_NOTE, cost_comparison
from hqsam_lightning.reporting.markdown import markdown_table
from hqsam_lightning.reporting.metric_facts import NOTHING
from hqsam_lightning.reporting.numbers import MEAN_OF_SETS, Summary
from hqsam_lightning.reporting.paper import LABELS, PaperRow, compare_order
from hqsam_lightning.reporting.paper_rows import MISSING, describe_agreement, recipe_of_row
from hqsam_lightning.reporting.paper_scores import score_section
from hqsam_lightning.reporting.runs import Recipe
from hqsam_lightning.reporting.tables import OUTPUT_NAMES, cell

OUTPUTS = ("hq", "sum")
COCO_COLUMN = "COCO AP_B / AP"
COCO_METRICS = ("AP_B", "AP")
NOTE = (
    "mIoU / mBIoU in percent; the paper's are means over its four sets with its own SAM, so the order of rows is what "
    "can be compared. A row without a run is missing."
)


def paper_section(summary: Summary, paper: Sequence[PaperRow], coco: Summary | None = None) -> list[str]:
    """Lines with the paper's numbers beside ours, then for each set and output whether the order by mIoU agrees.

    The mean over sets is shown where the paper gives no numbers by set.

    Args:
        summary: of the runs, or of evaluations.
        paper: rows of one table.
        coco: of evaluations on COCO of what the runs trained, for the columns of a table that has them.

    Raises:
        ConfigError: where a row of the table fits several recipes.
    """
    if any(row.scores for row in paper):
        return score_section(summary, paper)
    recipes = {row.name: recipe_of_row(summary, row) for row in paper}
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
        on_coco = [_numbers((row.coco.get("ap_b"), row.coco.get("ap"))), _coco_cell(coco, row)] if has_coco else []
        lines.append([row.name, _paper_cell(row), *cells, *on_coco])
    heads = ["method", "paper", *(f"{dataset}, {OUTPUT_NAMES[output]}" for dataset, output in columns)]
    heads += [f"{COCO_COLUMN}, paper", COCO_COLUMN] if has_coco else []
    order = [_order_line(summary, recipes, paper, *column) for column in columns]
    text = [NOTE, "", *markdown_table(pd.DataFrame(lines, columns=heads)), "Order of the rows by mIoU:", "", *order, ""]
    costs = cost_comparison(recipes, paper)
    return [*text, PAPER_NOTE, "", *markdown_table(costs)] if len(costs) else text


def _coco_cell(coco: Summary | None, row: PaperRow) -> str:
    """Boundary AP and AP of a row's evaluation, by SAM + HQ as the paper's."""
    recipe = None if coco is None else recipe_of_row(coco, row)
    if coco is None or recipe is None:
        return MISSING
    place = ((coco.datasets[0], coco.prompts[0]), "all")
    metrics = {name: coco.metrics[name] for name in COCO_METRICS if name in coco.metrics}
    return cell(coco, recipe, recipe.shown_row(row.variant, "sum"), place, metrics=metrics)


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


def _paper_cell(row: PaperRow) -> str:
    if row.sets:
        return ", ".join(f"{name} {_numbers(pair)}" for name, pair in row.sets.items())
    return _numbers((row.miou, row.mbiou))


def _numbers(pair: tuple[float | None, float | None]) -> str:
    return " / ".join(NOTHING if number is None else f"{number:.1f}" for number in pair)
