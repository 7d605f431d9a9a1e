"""What `python -m hqsam_lightning.report` writes: report.md, .csv and .html, recall.png, tradeoff.png and sweep.png."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from hqsam_lightning.reporting.comparison import paper_section
from hqsam_lightning.reporting.costs import COST_NOTE, cost_table
from hqsam_lightning.reporting.html import to_page
from hqsam_lightning.reporting.markdown import NOTHING, interval, markdown_table, percent
from hqsam_lightning.reporting.paper import PaperRow
from hqsam_lightning.reporting.recall_plot import draw_recall, shown_rows
from hqsam_lightning.reporting.results import NOTES, OUTPUT_NAMES
from hqsam_lightning.reporting.runs import Recipe, describe_set
from hqsam_lightning.reporting.summary import (
    MEAN_OF_SETS,
    METRICS,
    THRESHOLDS,
    Entry,
    Summary,
    mean_pair,
    recall_quantity,
)
from hqsam_lightning.reporting.sweep_plot import draw_sweep, swept_keys
from hqsam_lightning.reporting.tradeoff_plot import draw_tradeoff, measured_points, paper_points
from hqsam_lightning.training.scores import BASELINE, BASELINE_ROW, GROUPS, Row

RECALL_NOTE = (
    "Share of masks whose boundary IoU is above a threshold, in percent. Fewer misses: of the masks that are not above "
    f"{THRESHOLDS[0]:.2f} by plain SAM, the net share that is mended."
)
SWEEP_NOTE = (
    "A line a recipe, through the keys that the recipes differ in, to the mean over sets of its first learned method. "
    "Axes whose ends differ tenfold are logarithmic."
)
SEEDS_NOTE = (
    "Where a recipe ran with several seeds: mean ± standard deviation over them; differences are averaged over them "
    "for each image first."
)


def write_report(folder: Path, summary: Summary, paper: Sequence[PaperRow] | None, command: str) -> None:
    """Writes the files; tradeoff.png where a run measured its speed, sweep.png where there are enough recipes.

    Args:
        folder: made where it is missing; files of an earlier report are replaced.
        summary: the numbers.
        paper: rows of the paper's table, if the report stands beside one.
        command: that made the report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_entries(folder / "report.csv", summary.entries)
    draw_recall(summary).savefig(folder / "recall.png", dpi=120)
    for name in ("tradeoff.png", "sweep.png"):
        (folder / name).unlink(missing_ok=True)
    measured = measured_points(summary)
    if measured:
        theirs = paper_points(paper or [])
        panels = {"measured": measured, **({"the paper": theirs} if theirs else {})}
        draw_tradeoff(panels).savefig(folder / "tradeoff.png", dpi=120)
    keys = swept_keys(summary)
    if keys:
        draw_sweep(summary, keys).savefig(folder / "sweep.png", dpi=120)
    lines = report_lines(summary, paper, command)
    (folder / "report.md").write_text("\n".join(lines) + "\n")
    (folder / "report.html").write_text(to_page("Report", lines, folder, _panels(summary)))


def _panels(summary: Summary) -> list[tuple[str, Path]]:
    """The picture of each recipe's first run, where it left one."""
    pictures = [(recipe.label, recipe.runs[0].folder / "results.png") for recipe in summary.recipes]
    return [(label, picture) for label, picture in pictures if picture.is_file()]


def write_entries(path: Path, entries: Sequence[Entry]) -> None:
    """Writes a line an entry, a column a field of `Entry`; what is not known is empty."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Entry)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(entry) for entry in entries)


def report_lines(summary: Summary, paper: Sequence[PaperRow] | None, command: str) -> list[str]:
    """Lines of report.md."""
    lines = ["# Report", "", f"`{command}`", ""]
    lines += [line for note in (*NOTES, SEEDS_NOTE) for line in (note, "")]
    if len(summary.sets) > 1:
        lines += ["## All sets", "", *markdown_table(_overview(summary)), ""]
    for dataset, masks in summary.sets.items():
        lines += [f"## {dataset}", "", f"{describe_set(masks)}.", "", *markdown_table(_scores(summary, dataset)), ""]
        lines += ["Difference to plain SAM, mIoU / mBIoU:", "", *markdown_table(_differences(summary, dataset)), ""]
    if paper is not None:
        lines += ["## Beside the paper", "", *paper_section(summary, paper), ""]
    lines += ["## Recall", "", RECALL_NOTE, ""]
    lines += ["![Recall over thresholds of the boundary IoU](recall.png)", ""]
    for dataset in summary.sets:
        lines += [f"### {dataset}", "", *markdown_table(_recalls(summary, dataset)), ""]
    if swept_keys(summary):
        lines += ["## Sweep", "", SWEEP_NOTE, "", "![What the recipes differ in, and what they scored](sweep.png)", ""]
    lines += ["## Cost", "", COST_NOTE, "", *markdown_table(cost_table(summary)), ""]
    if measured_points(summary):
        lines += ["![Boundary IoU over images a second, plain SAM hollow, markers by size](tradeoff.png)", ""]
    sams = {recipe.runs[0].facts["sam_sha256"]: recipe.runs[0].facts["sam"] for recipe in summary.recipes}
    lines += ["## Runs", "", *(f"SAM: {name}, weights SHA-256 {sha256}." for sha256, name in sams.items()), ""]
    return [*lines, *(line for recipe in summary.recipes for line in _facts(recipe))]


def _overview(summary: Summary) -> list[list[str]]:
    table = [[*_name_columns(summary), *summary.sets, "mean"]]
    for recipe, row in _rows(summary):
        cells = [mean_pair(summary, recipe, row, name, "all") for name in (*summary.sets, MEAN_OF_SETS)]
        table.append([*_names(summary, recipe, row), *cells])
    return table


def _scores(summary: Summary, dataset: str) -> list[list[str]]:
    table = [[*_name_columns(summary), *GROUPS]]
    for recipe, row in _rows(summary):
        cells = [mean_pair(summary, recipe, row, dataset, group) for group in GROUPS]
        table.append([*_names(summary, recipe, row), *cells])
    return table


def _differences(summary: Summary, dataset: str) -> list[list[str]]:
    table = [[*_name_columns(summary), *GROUPS]]
    for recipe, row in _rows(summary):
        if row[0] != BASELINE:
            cells = [_difference(summary, recipe, row, dataset, group) for group in GROUPS]
            table.append([*_names(summary, recipe, row), *cells])
    return table


def _recalls(summary: Summary, dataset: str) -> list[list[str]]:
    table = [[*_name_columns(summary), *(f"{threshold:.2f}" for threshold in THRESHOLDS), "fewer misses"]]
    for recipe, row in shown_rows(summary):
        entries = [summary.get(recipe, row, dataset, "all", recall_quantity(t)) for t in THRESHOLDS]
        recalls = [entry.mean for entry in entries if entry]
        table.append(
            [*_names(summary, recipe, row), *map(percent, recalls), _fewer_misses(summary, recipe, row, dataset)]
        )
    return table


def _fewer_misses(summary: Summary, recipe: str, row: Row, dataset: str) -> str:
    """By how many percent fewer masks miss the least threshold than by plain SAM."""
    ours, sam = (
        summary.get(recipe, each, dataset, "all", recall_quantity(THRESHOLDS[0])) for each in (row, BASELINE_ROW)
    )
    if row == BASELINE_ROW or ours is None or sam is None or sam.mean == 1:
        return NOTHING
    return percent((ours.mean - sam.mean) / (1 - sam.mean))


def _difference(summary: Summary, recipe: str, row: Row, dataset: str, group: str) -> str:
    entries = [summary.get(recipe, row, dataset, group, f"{metric}_difference") for metric in METRICS]
    return " / ".join(interval(entry.mean, entry.low, entry.high) for entry in entries if entry) or NOTHING


def _rows(summary: Summary) -> list[tuple[str, Row]]:
    """(recipe, row) pairs; each plain SAM, which is the same for all recipes over it, once."""
    pairs = [(recipe.label, row) for recipe in summary.recipes for row in recipe.rows]
    return [(label, row) for label, row in pairs if row[0] != BASELINE or label in summary.baselines]


def _name_columns(summary: Summary) -> list[str]:
    return [*(["recipe"] if len(summary.recipes) > 1 else []), "method", "logits"]


def _names(summary: Summary, recipe: str, row: Row) -> list[str]:
    label = NOTHING if row[0] == BASELINE and len(summary.baselines) == 1 else recipe
    return [*([label] if len(summary.recipes) > 1 else []), row[0], OUTPUT_NAMES[row[1]]]


def _facts(recipe: Recipe) -> list[str]:
    """Facts of a recipe's runs, in the order of their seeds; those that they share once."""
    lines = [f"### {recipe.label}", "", f"- folder: {'; '.join(str(run.folder) for run in recipe.runs)}"]
    for key in dict.fromkeys(key for run in recipe.runs for key in run.facts):
        values = dict.fromkeys(str(run.facts.get(key, NOTHING)) for run in recipe.runs)
        lines.append(f"- {key}: {'; '.join(values)}")
    return [*lines, ""]
