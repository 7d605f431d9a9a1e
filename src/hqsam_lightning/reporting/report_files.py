"""What `python -m hqsam_lightning.report` writes: report.md, .csv and .html, recall.png, tradeoff.png and sweep.png."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from hqsam_lightning.escaping import printable
from hqsam_lightning.reporting.comparison import paper_section
from hqsam_lightning.reporting.html import to_page
from hqsam_lightning.reporting.lines import cost_lines, prose, score_lines, shared_facts
from hqsam_lightning.reporting.markdown import code_span, fact_lines, heading, markdown_table
from hqsam_lightning.reporting.numbers import THRESHOLDS, Summary
from hqsam_lightning.reporting.paper import PaperRow
from hqsam_lightning.reporting.pictures import draw_picture, read_picture
from hqsam_lightning.reporting.recall_plot import draw_recall
from hqsam_lightning.reporting.sweep_plot import draw_sweep, swept_keys
from hqsam_lightning.reporting.tables import set_recalls
from hqsam_lightning.reporting.tradeoff_plot import draw_tradeoff, measured_points, paper_points
from hqsam_lightning.storage.files import storage_error, write_whole

PANELS_FILE = "results.png"
PICTURES = {
    "recall.png": "Recall over thresholds",
    "sweep.png": "What the recipes differ in, and what they scored",
    "tradeoff.png": "Scores over images per second, plain SAM hollow, markers by size",
}
"""Plots of a report, with their descriptions."""
RECALL_NOTE = (
    "Share of masks whose {} is above a threshold, in percent. Fewer misses: of the masks that are not above "
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


def write_report(
    folder: Path, summary: Summary, paper: Sequence[PaperRow] | None, command: str, coco: Summary | None = None
) -> None:
    """Writes the files; tradeoff.png where a run measured its speed, sweep.png where there are enough recipes.

    An earlier report in the folder stays as it is until all files of the new one are written.

    Args:
        folder: made where it is missing.
        summary: the numbers.
        paper: see `report_lines`.
        command: see `report_lines`.
        coco: see `report_lines`.

    Raises:
        StorageError: the disk is full or cannot be written.
    """
    report_lines(summary, paper, command, PICTURES, coco)  # what is wrong with the runs is found before drawing
    pictures = _draw(summary, paper or [])
    lines = report_lines(summary, paper, command, list(pictures), coco)
    runs = [(printable(recipe.label), fact_lines(shared_facts(recipe.runs))) for recipe in summary.recipes]
    whole = [*lines, *(line for label, facts in runs for line in (heading(3, label), "", *facts))]
    table = summary.numbers.to_csv(index=False, lineterminator="\n")
    files = {"report.csv": table.encode(), "report.md": "\n".join(whole).encode(), **pictures}
    files["report.html"] = to_page("Report", lines, pictures, _panels(summary), runs).encode()
    _replace_files(folder, files, [name for name in PICTURES if name not in files])


def report_lines(
    summary: Summary,
    paper: Sequence[PaperRow] | None,
    command: str,
    pictures: Collection[str],
    coco: Summary | None = None,
) -> list[str]:
    """Lines of report.md but for the facts of each recipe's runs.

    Args:
        summary: the numbers.
        paper: rows of the paper's table that the report stands beside, if any.
        command: that made the report.
        pictures: names of the plots that lie beside the file.
        coco: see `hqsam_lightning.reporting.comparison.paper_section`.
    """
    lines = ["# Report", "", code_span(command), "", *score_lines(summary, [SEEDS_NOTE])]
    if paper is not None:
        lines += ["## Beside the paper", "", *paper_section(summary, paper, coco)]
    if summary.recalled:
        lines += ["## Recall", "", *prose(RECALL_NOTE.format(summary.recalled.label))]
        lines += _picture("recall.png", pictures)
        for place in summary.sets:
            lines += [heading(3, summary.name_of(place)), "", *markdown_table(set_recalls(summary, place))]
    if swept_keys(summary):
        lines += ["## Sweep", "", SWEEP_NOTE, "", *_picture("sweep.png", pictures)]
    lines += cost_lines(summary)
    if measured_points(summary):
        lines += _picture("tradeoff.png", pictures)
    sams = {recipe.runs[0].facts["sam_sha256"]: recipe.runs[0].facts["sam"] for recipe in summary.recipes}
    lines += ["## Runs", ""]
    return [*lines, *(line for sha, name in sams.items() for line in prose(f"SAM: {name}, weights SHA-256 {sha}."))]


def _draw(summary: Summary, paper: Sequence[PaperRow]) -> dict[str, bytes]:
    """The plots that the runs give, by name, without those that cannot be drawn."""
    draw: dict[str, Callable[[], Figure]] = {}
    measured, keys = measured_points(summary), swept_keys(summary)
    if summary.recalled:
        draw["recall.png"] = lambda: draw_recall(summary)
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


def _picture(name: str, pictures: Collection[str]) -> list[str]:
    return [f"![{PICTURES[name]}]({name})", ""] if name in pictures else []
