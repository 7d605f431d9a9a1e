"""The curves of the paper's figure 4: recall over thresholds of a metric."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hqsam_lightning.evaluation.table import Row
from hqsam_lightning.reporting.numbers import THRESHOLDS, Set, Summary
from hqsam_lightning.reporting.pictures import plot_label
from hqsam_lightning.reporting.runs import Recipe
from hqsam_lightning.reporting.tables import OUTPUT_NAMES, UNTRAINED, recall_at, sams, shown_rows

PANEL_INCHES = (4.4, 3.6)
# of the legend's type
INCHES_A_LETTER, INCHES_A_LINE = 0.055, 0.15


def draw_recall(summary: Summary) -> Figure:
    """Draws a panel per set and a line per variant, by the output that its run chose checkpoints by.

    A line is the mean over seeds; its band goes from the least to the greatest of them.
    """
    names = [_name(summary, recipe, row) for recipe, row in shown_rows(summary)]
    width, height = PANEL_INCHES
    legend_width, legend_height = (INCHES_A_LETTER * max(map(len, names)) + 0.6, INCHES_A_LINE * len(names) + 0.4)
    size = (width * len(summary.sets) + legend_width, max(height, legend_height))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(summary.sets), squeeze=False, sharey=True)[0]
    for axis, place in zip(axes, summary.sets, strict=True):
        _draw_set(axis, summary, place)
    axes[0].set_ylabel("share of masks above it")
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=7, loc="outside right upper")
    return figure


def _draw_set(axis: Axes, summary: Summary, place: Set) -> None:
    for recipe, row in shown_rows(summary):
        points = [recall_at(summary, recipe, row, place, threshold) for threshold in THRESHOLDS]
        (line,) = axis.plot(THRESHOLDS, [point.mean for point in points], ".-", label=_name(summary, recipe, row))
        if row[0] in UNTRAINED:
            line.set(color="black", linestyle="--" if row[0] == UNTRAINED[0] else ":")
        bounds = ([point.least for point in points], [point.greatest for point in points])
        axis.fill_between(THRESHOLDS, *bounds, color=line.get_color(), alpha=0.2, linewidth=0)
    axis.set_title(plot_label(summary.name_of(place)))
    axis.set_xlabel(plot_label(summary.shown.label))
    axis.set_ylim(0, 1)
    axis.grid(alpha=0.3)


def _name(summary: Summary, recipe: Recipe, row: Row) -> str:
    label = plot_label(recipe.label)
    if row[0] in UNTRAINED:
        name = OUTPUT_NAMES[row[1]]
        return name if len(sams(summary)) == 1 else f"{name}, {label}"
    name = f"{plot_label(row[0])} ({OUTPUT_NAMES[row[1]]})"
    return name if len(summary.recipes) == 1 else f"{name}, {label}"
