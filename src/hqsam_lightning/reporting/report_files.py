"""What `python -m hqsam_lightning.report` writes: report.md, .csv and .html, recall.png, tradeoff.png and sweep.png."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from matplotlib.figure import Figure

from hqsam_lightning.escaping import escape_markdown, printable
from hqsam_lightning.evaluation.scores import BASELINE, BASELINE_ROW, GROUPS, Row
from hqsam_lightning.reporting.comparison import paper_section
from hqsam_lightning.reporting.costs import COST_NOTE, cost_table
from hqsam_lightning.reporting.html import to_page
from hqsam_lightning.reporting.markdown import NOTHING, code_span, heading, interval, markdown_table, percent
from hqsam_lightning.reporting.paper import PaperRow
from hqsam_lightning.reporting.pictures import draw_picture, read_picture
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
from hqsam_lightning.storage.files import storage_error, write_whole

PANELS_FILE = "results.png"
PICTURES = {
    "recall.png": "Recall over thresholds of the boundary IoU",
    "sweep.png": "What the recipes differ in, and what they scored",
    "tradeoff.png": "Boundary IoU over images a second, plain SAM hollow, markers by size",
}
"""Plots of a report, with their descriptions."""
RECALL_NOTE = (
    "Share of masks whose boundary IoU is above a threshold, in percent. Fewer misses: of the masks that are not above "
    f"{THRESHOLDS[0]:.2f} by plain SAM, the net share that is fixed."
)
SWEEP_NOTE = (
    "One line per recipe, through the keys that the recipes differ in, to the mean over sets of its first learned "
    "method. Axes whose ends differ tenfold are logarithmic."
)
SEEDS_NOTE = (
    "Where a recipe ran with several seeds: mean ± standard deviation over them; differences are averaged over them "
    "for each image first."
)


def write_report(folder: Path, summary: Summary, paper: Sequence[PaperRow] | None, command: str) -> None:
    """Writes the files; tradeoff.png where a run measured its speed, sweep.png where there are enough recipes.

    An earlier report in the folder stays as it is until all files of the new one are written.

    Args:
        folder: made where it is missing.
        summary: the numbers.
        paper: rows of the paper's table, if the report stands beside one.
        command: that made the report.

    Raises:
        StorageError: the disk is full or cannot be written.
    """
    entries = entries_csv(summary.entries)
    report_lines(summary, paper, command, PICTURES)  # what is wrong with the runs is found before drawing
    pictures = _draw(summary, paper or [])
    lines = report_lines(summary, paper, command, list(pictures))
    runs = [(recipe.label, _facts(recipe)) for recipe in summary.recipes]
    whole = [*lines, *(line for label, facts in runs for line in (heading(3, label), "", *facts))]
    files = {"report.csv": entries, "report.md": ("\n".join(whole) + "\n").encode(), **pictures}
    folded = [(printable(label), facts) for label, facts in runs]
    files["report.html"] = to_page("Report", lines, pictures, _panels(summary), folded).encode()
    _replace_files(folder, files, [name for name in PICTURES if name not in files])


def _draw(summary: Summary, paper: Sequence[PaperRow]) -> dict[str, bytes]:
    """The plots that the runs give, by name, without those that cannot be drawn."""
    draw: dict[str, Callable[[], Figure]] = {"recall.png": lambda: draw_recall(summary)}
    measured, keys = measured_points(summary), swept_keys(summary)
    if measured:
        theirs = paper_points(paper)
        panels = {"measured": measured, **({"the paper": theirs} if theirs else {})}
        draw["tradeoff.png"] = lambda: draw_tradeoff(panels)
    if keys:
        draw["sweep.png"] = lambda: draw_sweep(summary, keys)
    drawn = {name: draw_picture(name, make) for name, make in draw.items()}
    return {name: content for name, content in drawn.items() if content is not None}


def _panels(summary: Summary) -> list[tuple[str, bytes]]:
    """The picture of each recipe's first run, where it left one."""
    pictures = [(recipe.label, read_picture(recipe.runs[0].folder / PANELS_FILE)) for recipe in summary.recipes]
    return [(printable(label), picture) for label, picture in pictures if picture is not None]


def _replace_files(folder: Path, files: Mapping[str, bytes], stale: Sequence[str]) -> None:
    """Writes all files aside before the first one takes the place of an earlier report's."""
    aside = folder / ".report.part"
    try:
        for name, content in files.items():
            write_whole(aside / name, content)
        for name in files:
            os.replace(aside / name, folder / name)
        for name in stale:
            (folder / name).unlink(missing_ok=True)
    except OSError as cause:
        raise storage_error(folder, cause) from cause
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def entries_csv(entries: Sequence[Entry]) -> bytes:
    """One line per entry, one column per field of `Entry`; what is not known is empty."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(Entry)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(entry) for entry in entries)
    return text.getvalue().encode("utf-8", "surrogateescape")


def report_lines(
    summary: Summary, paper: Sequence[PaperRow] | None, command: str, pictures: Collection[str]
) -> list[str]:
    """Lines of report.md but for the facts of each recipe's runs.

    Args:
        summary: the numbers.
        paper: rows of the paper's table, if the report stands beside one.
        command: that made the report.
        pictures: plots that lie beside the file.
    """
    lines = ["# Report", "", code_span(command), ""]
    lines += [line for note in (*NOTES, SEEDS_NOTE) for line in (note, "")]
    if len(summary.sets) > 1:
        lines += ["## All sets", "", *markdown_table(_overview(summary)), ""]
    for dataset, masks in summary.sets.items():
        lines += [heading(2, dataset), "", f"{describe_set(masks)}.", ""]
        lines += [*markdown_table(_scores(summary, dataset)), ""]
        lines += ["Difference to plain SAM, mIoU / mBIoU:", "", *markdown_table(_differences(summary, dataset)), ""]
    if paper is not None:
        lines += ["## Beside the paper", "", *paper_section(summary, paper), ""]
    lines += ["## Recall", "", RECALL_NOTE, "", *_picture("recall.png", pictures)]
    for dataset in summary.sets:
        lines += [heading(3, dataset), "", *markdown_table(_recalls(summary, dataset)), ""]
    if swept_keys(summary):
        lines += ["## Sweep", "", SWEEP_NOTE, "", *_picture("sweep.png", pictures)]
    lines += ["## Cost", "", COST_NOTE, "", *markdown_table(cost_table(summary)), ""]
    if measured_points(summary):
        lines += _picture("tradeoff.png", pictures)
    sams = {recipe.runs[0].facts["sam_sha256"]: recipe.runs[0].facts["sam"] for recipe in summary.recipes}
    lines += ["## Runs", ""]
    return [*lines, *(f"SAM: {escape_markdown(name)}, weights SHA-256 {sha256}." for sha256, name in sams.items()), ""]


def _picture(name: str, pictures: Collection[str]) -> list[str]:
    return [f"![{PICTURES[name]}]({name})", ""] if name in pictures else []


def _overview(summary: Summary) -> list[list[str]]:
    table = [[*_name_columns(summary), *map(escape_markdown, summary.sets), "mean"]]
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
    names = [*([label] if len(summary.recipes) > 1 else []), row[0]]
    return [*map(escape_markdown, names), OUTPUT_NAMES[row[1]]]


def _facts(recipe: Recipe) -> list[str]:
    """Facts of a recipe's runs, in the order of their seeds; those that they share once."""
    folders = "; ".join(str(run.folder) for run in recipe.runs)
    lines = [f"- folder: {escape_markdown(folders)}"]
    for key in dict.fromkeys(key for run in recipe.runs for key in run.facts):
        values = dict.fromkeys(str(run.facts.get(key, NOTHING)) for run in recipe.runs)
        fact = f"{key.strip()}: {'; '.join(values)}"
        lines.append(f"- {escape_markdown(fact)}")
    return [*lines, ""]
