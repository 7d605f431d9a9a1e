"""The section of a report that stands beside a table of the paper."""

from __future__ import annotations

from collections.abc import Sequence

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.reporting.markdown import NOTHING, markdown_table
from hqsam_lightning.reporting.paper import Agreement, PaperRow, compare_order
from hqsam_lightning.reporting.results import OUTPUT_NAMES
from hqsam_lightning.reporting.summary import MEAN_OF_SETS, Summary, mean_pair
from hqsam_lightning.training.scores import BASELINE, BASELINE_ROW, Row

OUTPUTS = ("hq", "sum")
NOTE = (
    "mIoU / mBIoU in percent; the paper's are means over its four sets with its own SAM, so the order of rows is what "
    "can be compared. A row without a run is missing."
)


def paper_section(summary: Summary, paper: Sequence[PaperRow]) -> list[str]:
    """Lines with the paper's numbers beside ours, then for each set and output whether the order by mIoU agrees.

    Raises:
        ConfigError: where a learned variant of the table is in several recipes.
    """
    recipes = _recipe_of_variant(summary, paper)
    sets = [*summary.sets, *([MEAN_OF_SETS] if len(summary.sets) > 1 else [])]
    columns = [(dataset, output) for dataset in sets for output in OUTPUTS]
    table = [["method", "paper", *(f"{dataset}, {OUTPUT_NAMES[output]}" for dataset, output in columns)]]
    for row in paper:
        cells = [_cell(summary, recipes, row.variant, dataset, output) for dataset, output in columns]
        table.append([row.variant, _paper_cell(row), *cells])
    order = [_order_line(summary, recipes, paper, dataset, output) for dataset, output in columns]
    return [NOTE, "", *markdown_table(table), "", "Order of the rows by mIoU:", "", *order]


def _recipe_of_variant(summary: Summary, paper: Sequence[PaperRow]) -> dict[str, str]:
    found: dict[str, str] = {BASELINE: summary.recipes[0].label}
    for recipe in summary.recipes:
        for variant in dict.fromkeys(row[0] for row in recipe.rows if row[0] != BASELINE):
            if variant in found and variant in {row.variant for row in paper}:
                raise ConfigError(
                    f"runs: expected each row of the table in one recipe; {variant} is in {found[variant]} and "
                    f"{recipe.label}; make a report for each"
                )
            found[variant] = recipe.label
    return found


def _cell(summary: Summary, recipes: dict[str, str], variant: str, dataset: str, output: str) -> str:
    if variant not in recipes:
        return "missing"
    return mean_pair(summary, recipes[variant], _row(variant, output), dataset, "all")


def _order_line(summary: Summary, recipes: dict[str, str], paper: Sequence[PaperRow], dataset: str, output: str) -> str:
    theirs = {row.variant: row.miou for row in paper if row.miou is not None}
    ours = {}
    for variant in theirs:
        entry = variant in recipes and summary.get(recipes[variant], _row(variant, output), dataset, "all", "miou")
        if entry:
            ours[variant] = entry.mean
    missing = [variant for variant in theirs if variant not in ours]
    absent = f" Missing: {', '.join(missing)}." if missing else ""
    return f"- {dataset}, {OUTPUT_NAMES[output]}: {describe_agreement(compare_order(theirs, ours))}{absent}"


def describe_agreement(agreement: Agreement) -> str:
    """One sentence that says whether the order is the paper's, and each pair that is not."""
    if agreement.tau is None:
        return f"{agreement.compared} row(s) to compare, which have no order."
    numbers = f"Kendall's tau {agreement.tau:.2f} over {agreement.compared} rows"
    if not agreement.swapped:
        return f"the order agrees with the paper's ({numbers})."
    pairs = "; ".join(f"{lower} is above {upper}" for upper, lower in agreement.swapped)
    return f"the order does not agree with the paper's ({numbers}). Here, and not in the paper, {pairs}."


def _row(variant: str, output: str) -> Row:
    return BASELINE_ROW if variant == BASELINE else (variant, output)


def _paper_cell(row: PaperRow) -> str:
    return " / ".join(NOTHING if number is None else f"{number:.1f}" for number in (row.miou, row.mbiou))
