"""The paper's figure 2: accuracy against speed, with the size of each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hqsam_lightning.evaluation.table import BASELINE
from hqsam_lightning.reporting.costs import measured_costs
from hqsam_lightning.reporting.numbers import Summary
from hqsam_lightning.reporting.paper import LABELS, PaperRow
from hqsam_lightning.reporting.pictures import plot_label

PANEL_INCHES = (5.0, 3.8)
LARGEST_AREA = 400
"""Of the greatest model's marker, in square points."""
NEEDED = ("images_per_second", "total_mib")


@dataclass(frozen=True)
class Point:
    """A model in the plot.

    Attributes:
        name: that it is labelled by.
        model: the SAM under it; a line goes from each plain SAM to what was trained over it.
        plain: whether it is SAM itself.
        speed: images per second.
        size: MiB.
        score: mean of the metric, in percent where `unit` says so.
        unit: label of the metric, with its unit.
    """

    name: str
    model: str
    plain: bool
    speed: float
    size: float
    score: float
    unit: str


def measured_points(summary: Summary) -> list[Point]:
    """Variants whose speed was measured, by their mean over the sets, and the plain SAMs under them, each once."""
    points: dict[tuple[str, str], Point] = {}
    scale = 100 if summary.shown.percent else 1
    for recipe in summary.recipes:
        for row in recipe.shown_rows:
            number = summary.get(recipe.label, row, summary.main_set, "all", summary.metric)
            costs = measured_costs(recipe, row[0])
            if number and all(costs.get(key) for key in NEEDED):
                plain, model = row[0] == BASELINE, recipe.runs[0].sam
                name = row[0] if len(summary.recipes) == 1 else f"{row[0]}, {recipe.label}"
                speed, size = (costs[key] for key in NEEDED)
                key, score = (model, BASELINE if plain else name), scale * number.mean
                points.setdefault(key, Point(name, model, plain, speed, size, score, summary.shown.unit))
    return list(points.values())


def paper_points(paper: Sequence[PaperRow]) -> list[Point]:
    """The rows of the paper's table that it gives speed, size and boundary IoU of."""
    points = []
    for row in paper:
        if row.mbiou is not None and all(row.costs.get(key) for key in NEEDED):
            speed, size = (row.costs[key] for key in NEEDED)
            unit = f"{LABELS['mbiou']} %"
            points.append(Point(row.name, str(dict(row.when)), row.variant == BASELINE, speed, size, row.mbiou, unit))
    return points


def draw_tradeoff(panels: dict[str, list[Point]]) -> Figure:
    """Draws a panel per title: scores over images per second, markers by size, plain SAMs hollow."""
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width * len(panels), height), layout="constrained")
    for axis, (title, points) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _draw_panel(axis, points)
        axis.set_title(title)
    return figure


def _draw_panel(axis: Axes, points: Sequence[Point]) -> None:
    largest = max(point.size for point in points)
    plain = {point.model: point for point in points if point.plain}
    for point in points:
        axis.scatter(
            point.speed,
            point.score,
            LARGEST_AREA * point.size / largest,
            facecolor="none" if point.plain else "tab:blue",
            edgecolor="black",
            alpha=0.7,
        )
        axis.annotate(
            f"{plot_label(point.name)}\n{point.size:.1f} MiB",
            (point.speed, point.score),
            (6, 6),
            fontsize=7,
            textcoords="offset points",
        )
        sam = plain.get(point.model)
        if sam and not point.plain:
            axis.plot([sam.speed, point.speed], [sam.score, point.score], color="0.6", linewidth=1, zorder=0)
    axis.set_xlabel("images per second")
    axis.set_ylabel(plot_label(points[0].unit))
    axis.margins(0.25)
    axis.grid(alpha=0.3)
