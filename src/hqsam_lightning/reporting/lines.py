"""What results.md and report.md have in common: the sections of scores, costs and facts as lines of Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hqsam_lightning.escaping import escape_markdown
from hqsam_lightning.reporting.costs import COST_NOTE, FRAME_NOTE, cost_table, frame_table
from hqsam_lightning.reporting.markdown import heading, markdown_table
from hqsam_lightning.reporting.metric_facts import NOTHING, describe
from hqsam_lightning.reporting.numbers import MEAN_OF_SETS, Set, Summary
from hqsam_lightning.reporting.runs import Run, describe_set
from hqsam_lightning.reporting.tables import metric_lines, overview, set_differences, set_scores

SCORES_NOTE = (
    "{}, means over masks. Thin objects lose more than a fifth of their area to an opening by a disc whose radius is "
    "2 % of the image's diagonal; the others are solid."
)
DIFFERENCES_NOTE = (
    "Differences to plain SAM on the same masks: in points where scores are in percent, means over images (masks of "
    "one image averaged first), with 95 % bootstrap intervals over images."
)


def score_lines(summary: Summary, notes: Sequence[str] = ()) -> list[str]:
    """What is scored, notes, all sets side by side where there are several, then each set's scores and differences."""
    contents = describe(summary.in_cells)
    lines = [
        *(prose(SCORES_NOTE.format(contents)) if summary.in_cells else []),
        *(line for note in (DIFFERENCES_NOTE, *notes) for line in (note, "")),
    ]
    if len(summary.sets) > 1:
        lines += ["## All sets", ""]
        lines += markdown_table(overview(summary)) if summary.in_cells else []
        for prompts in summary.prompts if len(summary.datasets) > 1 else ():
            lines += _metric_lines(summary, (MEAN_OF_SETS, prompts))
    for place in summary.sets:
        dataset, prompts = place
        counts = describe_set(summary.table[summary.table["dataset"] == dataset])
        lines += [heading(2, summary.name_of(place)), "", *prose(f"{counts}; prompts: {prompts}.")]
        lines += _cells(summary, place) if summary.in_cells else []
        lines += _metric_lines(summary, place)
    return lines


def _cells(summary: Summary, place: Set) -> list[str]:
    lines = markdown_table(set_scores(summary, place))
    differences = set_differences(summary, place)
    if len(differences):
        labels = " / ".join(metric.label for metric in summary.in_cells.values())
        lines += [*prose(f"Difference to plain SAM, {labels}:"), *markdown_table(differences)]
    return lines


def _metric_lines(summary: Summary, place: Set) -> list[str]:
    """The metrics that have a line each."""
    lines = []
    for title, quantity in (("Means, shares in percent", "mean"), ("Difference to plain SAM", "difference")):
        table = metric_lines(summary, place, quantity)
        if len(table):
            lines += [f"{title}:", "", *markdown_table(table)]
    return lines


def frame_lines(summary: Summary) -> list[str]:
    """What evaluations encoded for each photo, where they say so."""
    table = frame_table(summary)
    return ["## Frames", "", FRAME_NOTE, "", *markdown_table(table)] if len(table) else []


def cost_lines(summary: Summary) -> list[str]:
    """What methods cost, and what was encoded."""
    return [*frame_lines(summary), "## Cost", "", COST_NOTE, "", *markdown_table(cost_table(summary))]


def shared_facts(runs: Sequence[Run]) -> list[tuple[str, Any]]:
    """Facts of a recipe's runs, in the order of their seeds; those that they share once."""
    facts = [("folder", "; ".join(str(run.folder) for run in runs))]
    for key in dict.fromkeys(key for run in runs for key in run.facts):
        values = dict.fromkeys(str(run.facts.get(key, NOTHING)) for run in runs)
        facts.append((key, "; ".join(values)))
    return facts


def prose(text: str) -> list[str]:
    """A paragraph that holds text of users."""
    return [escape_markdown(text), ""]
