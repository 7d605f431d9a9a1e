"""Parallel coordinates of a sweep: a line per recipe, through what it differs in, to what it scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hqsam_lightning.reporting.numbers import Summary
from hqsam_lightning.reporting.pictures import plot_label
from hqsam_lightning.reporting.runs import Recipe, differing_keys, shorten
from hqsam_lightning.reporting.tables import UNTRAINED

LEAST_RECIPES = 3
MOST_KEYS = 8
"""More than a search has: recipes of different tables."""
LOG_FROM = 10
"""Ratio of an axis' ends from which on it is logarithmic."""


def swept_keys(summary: Summary) -> list[str]:
    """Config keys that the recipes differ in; none for few recipes, more than `MOST_KEYS` keys, or SAM alone."""
    learned = [any(variant not in UNTRAINED for variant, _ in recipe.rows) for recipe in summary.recipes]
    if len(summary.recipes) < LEAST_RECIPES or not all(learned):
        return []
    swept = differing_keys([recipe.runs[0] for recipe in summary.recipes])
    return swept if len(swept) <= MOST_KEYS else []


def draw_sweep(summary: Summary, keys: Sequence[str]) -> Figure:
    """Draws a line per recipe through `keys` and the metrics, coloured by the report's metric, the best on top."""
    scores = np.array([_scores(summary, recipe) for recipe in summary.recipes])
    shown = list(summary.metrics).index(summary.metric)
    columns = [[recipe.runs[0].recipe_keys.get(key) for recipe in summary.recipes] for key in keys]
    places = [_places(values) for values in columns] + [_places(list(column)) for column in scores.T]
    names = [*map(plot_label, keys), *(plot_label(metric.unit) for metric in summary.metrics.values())]
    figure = Figure(figsize=(2 + 1.6 * len(names), 4), layout="constrained")
    axis = figure.subplots()
    ranks = places[len(keys) + shown] if summary.shown.greater_is_better else 1 - places[len(keys) + shown]
    shades = colormaps["viridis"](ranks)
    for recipe in np.argsort(ranks, kind="stable"):
        axis.plot([column[recipe] for column in places], color=shades[recipe], linewidth=1.5)
    for place, values in enumerate([*columns, *scores.T.tolist()]):
        _label(axis, place, values, places[place])
    axis.set_xticks(range(len(names)), names, rotation=20, ha="right")
    axis.set_yticks([])
    axis.set_ylim(-0.05, 1.05)
    for side in ("top", "bottom", "left", "right"):
        axis.spines[side].set_visible(False)
    return figure


def _scores(summary: Summary, recipe: Recipe) -> list[float]:
    """Means of the metrics, of a recipe's first learned variant, over the sets."""
    row = next(row for row in recipe.shown_rows if row[0] not in UNTRAINED)
    means = [summary.get(recipe.label, row, summary.main_set, "all", name).mean for name in summary.metrics]
    return [100 * mean if facts.percent else mean for mean, facts in zip(means, summary.metrics.values(), strict=True)]


def _places(values: Sequence[Any]) -> np.ndarray:
    """Heights in [0, 1]: numbers by their size, or its logarithm; others side by side in the order of their names."""
    if all(_is_number(value) for value in values):
        numbers = np.array(values, float)
        if numbers.min() > 0 and np.log10(numbers.max()) - np.log10(numbers.min()) >= math.log10(LOG_FROM):
            numbers = np.log(numbers)
        numbers = numbers / (np.abs(numbers).max() or 1)  # the width of huge numbers is finite then
    else:
        order = sorted({str(value) for value in values})
        numbers = np.array([order.index(str(value)) for value in values], float)
    width = numbers.max() - numbers.min()
    return (numbers - numbers.min()) / width if width else np.full(len(numbers), 0.5)


def _label(axis: Axes, place: int, values: Sequence[Any], heights: np.ndarray) -> None:
    """Writes an axis' ends, or all of its names."""
    axis.axvline(place, color="0.6", linewidth=1)
    labels = {float(height): shorten(value) for value, height in zip(values, heights, strict=True)}
    if all(_is_number(value) for value in values):
        labels = {height: labels[height] for height in (min(labels), max(labels))}
    for height, text in labels.items():
        axis.annotate(plot_label(text), (place, height), (3, 3), textcoords="offset points", fontsize=7)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
