"""The curves of the paper's figure 4: recall over thresholds of the boundary IoU."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hqsam_lightning.evaluation.scores import BASELINE, Row, shown_output
from hqsam_lightning.reporting.pictures import plot_label
from hqsam_lightning.reporting.runs import Recipe
from hqsam_lightning.reporting.summary import THRESHOLDS, Entry, Summary, recall_quantity

PANEL_INCHES = (4.4, 3.6)
# of the legend's type
INCHES_A_LETTER, INCHES_A_LINE = 0.055, 0.15


def draw_recall(summary: Summary) -> Figure:
    """Draws a panel a set and a line a variant, by the output that its run went by.

    A line is the mean over seeds; its band goes from the least to the greatest of them.
    """
    names = [_name(summary, recipe, row) for recipe, row in shown_rows(summary)]
    width, height = PANEL_INCHES
    legend_width, legend_height = (INCHES_A_LETTER * max(map(len, names)) + 0.6, INCHES_A_LINE * len(names) + 0.4)
    size = (width * len(summary.sets) + legend_width, max(height, legend_height))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(summary.sets), squeeze=False, sharey=True)[0]
    for axis, dataset in zip(axes, summary.sets, strict=True):
        _draw_set(axis, summary, dataset)
    axes[0].set_ylabel("share of masks above it")
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=7, loc="outside right upper")
    return figure


def shown_rows(summary: Summary) -> list[tuple[str, Row]]:
    """(recipe, row) of each plain SAM, once, and of each learned variant by its run's output."""
    rows = []
    for recipe in summary.recipes:
        for variant, outputs in _outputs(recipe).items():
            if variant != BASELINE or recipe.label in summary.baselines:
                rows.append((recipe.label, (variant, shown_output(recipe.output, outputs))))
    return rows


def _outputs(recipe: Recipe) -> dict[str, list[str]]:
    outputs: dict[str, list[str]] = {}
    for variant, output in recipe.rows:
        outputs.setdefault(variant, []).append(output)
    return outputs


def _draw_set(axis: Axes, summary: Summary, dataset: str) -> None:
    for recipe, row in shown_rows(summary):
        points = [_point(summary, recipe, row, dataset, threshold) for threshold in THRESHOLDS]
        (line,) = axis.plot(THRESHOLDS, [point.mean for point in points], ".-", label=_name(summary, recipe, row))
        if row[0] == BASELINE:
            line.set(color="black", linestyle="--")
        bounds = ([point.least for point in points], [point.greatest for point in points])
        axis.fill_between(THRESHOLDS, *bounds, color=line.get_color(), alpha=0.2, linewidth=0)
    axis.set_title(plot_label(dataset))
    axis.set_xlabel("boundary IoU")
    axis.set_ylim(0, 1)
    axis.grid(alpha=0.3)


def _point(summary: Summary, recipe: str, row: Row, dataset: str, threshold: float) -> Entry:
    entry = summary.get(recipe, row, dataset, "all", recall_quantity(threshold))
    assert entry is not None  # each set has masks
    return entry


def _name(summary: Summary, recipe: str, row: Row) -> str:
    if row[0] == BASELINE:
        return "SAM" if len(summary.baselines) == 1 else f"SAM, {plot_label(recipe)}"
    name = f"{plot_label(row[0])} ({'HQ logits' if row[1] == 'hq' else 'SAM + HQ'})"
    return name if len(summary.recipes) == 1 else f"{name}, {plot_label(recipe)}"
