"""What results.md and report.md have in common: the sections of scores, costs and facts as lines of Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hqsam_lightning.escaping import escape_markdown
from hqsam_lightning.reporting.costs import COST_NOTE, cost_table
from hqsam_lightning.reporting.markdown import heading, markdown_table
from hqsam_lightning.reporting.metric_facts import NOTHING, describe
from hqsam_lightning.reporting.numbers import Summary
from hqsam_lightning.reporting.runs import Run, describe_set
from hqsam_lightning.reporting.tables import first_metrics, overview, set_differences, set_scores

SCORES_NOTE = (
    "{}, means over masks. Thin objects lose more than a fifth of their area to an opening by a disc whose radius is "
    "2 % of the image's diagonal; the others are solid."
)
SETS_NOTE = "Each score is that of a whole set of images."
DIFFERENCES_NOTE = (
    "Differences to plain SAM on the same masks: in points where scores are in percent, means over images (masks of "
    "one image averaged first), with 95 % bootstrap intervals over images."
)


def score_lines(summary: Summary, notes: Sequence[str] = ()) -> list[str]:
    """What is scored, notes, all sets side by side where there are several, then each set's scores and differences."""
    contents = describe(summary.mask_metrics)
    lines = [
        *prose(SCORES_NOTE.format(contents) if contents else SETS_NOTE),
        *(line for note in (DIFFERENCES_NOTE, *notes) for line in (note, "")),
    ]
    if len(summary.sets) > 1:
        lines += ["## All sets", "", *prose(f"{describe(first_metrics(summary))}:"), *markdown_table(overview(summary))]
    for place in summary.sets:
        dataset, prompts = place
        counts = describe_set(summary.table[summary.table["dataset"] == dataset])
        lines += [heading(2, summary.name_of(place)), "", *prose(f"{counts}; prompts: {prompts}.")]
        lines += markdown_table(set_scores(summary, place))
        differences = set_differences(summary, place)
        if len(differences):
            labels = " / ".join(metric.label for metric in summary.mask_metrics.values())
            title = f"Difference to plain SAM, {labels}:" if labels else "Difference to plain SAM:"
            lines += [*prose(title), *markdown_table(differences)]
    return lines


def cost_lines(summary: Summary) -> list[str]:
    """What methods cost."""
    return ["## Cost", "", COST_NOTE, "", *markdown_table(cost_table(summary))]


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
