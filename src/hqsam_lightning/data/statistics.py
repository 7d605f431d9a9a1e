"""How large and how thin the objects of sets are."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hqsam_lightning.data.datasets import SampleSet
from hqsam_lightning.data.problems import attempt_all, spread
from hqsam_lightning.data.sets import DataSets
from hqsam_lightning.escaping import plain_text
from hqsam_lightning.shapes import THIN_ABOVE, thinness
from hqsam_lightning.types import OBJECT_THRESHOLD

COLUMNS = ("part", "set", "sample", "mask", "height", "width", "area", "thinness")
"""Columns of the table of objects.

part: "train" or "val"; set: name; sample: id of the photo; mask: index within the photo; height, width: of the photo,
in pixels; area: of the object, in pixels; thinness: see `hqsam_lightning.shapes.thinness`.
"""
SET = ["part", "set"]

# a decoded photo costs a core and its pixels' memory
_THREADS = 4


def measure_sets(sets: DataSets, most_photos: int | None) -> tuple[pd.DataFrame, list[str]]:
    """Measures the objects of every set.

    Args:
        sets: to measure.
        most_photos: number of photos of each, evenly spread; None for all.

    Returns:
        One line per object, with `COLUMNS`; and the messages of photos that cannot be read.
    """
    parts: list[tuple[str, str, SampleSet]] = [("train", each.identify(0).dataset, each) for each, _ in sets.train]
    parts += [("val", name, each) for name, each in sets.validation.items()]
    lines: list[tuple[object, ...]] = []
    problems: list[str] = []
    for part, name, samples in parts:

        def measure(index: int, samples: SampleSet = samples) -> list[tuple[object, ...]]:
            return _measure(samples, index)

        chosen = spread(range(len(samples)), len(samples) if most_photos is None else most_photos)
        for found in attempt_all(measure, chosen, min(_THREADS, os.cpu_count() or 1)):
            if isinstance(found, str):
                problems.append(f"{name}: {found}")
            else:
                lines += [(part, name, *line) for line in found]
    return pd.DataFrame(lines, columns=list(COLUMNS)), problems


def _measure(samples: SampleSet, index: int) -> list[tuple[object, ...]]:
    sample = samples[index]
    masks = sample.masks > OBJECT_THRESHOLD
    return [
        (sample.sample_id, number, *mask.shape, int(mask.sum()), thinness(mask)) for number, mask in enumerate(masks)
    ]


def summarise_sets(objects: pd.DataFrame) -> pd.DataFrame:
    """One line per set: how many photos and objects, how large the objects are, and how many are thin.

    Shares are of the photo's area; a tenth of the objects is below p10, a tenth above p90.
    """
    by_set = objects.assign(share=objects["area"] / (objects["height"] * objects["width"])).groupby(SET, sort=False)
    return pd.DataFrame(
        {
            "photos": by_set["sample"].nunique(),
            "objects": by_set.size(),
            "median side": by_set["area"].median().pow(0.5),
            **{f"share p{10 * tenth}": by_set["share"].quantile(tenth / 10) for tenth in (1, 5, 9)},
            "mean thinness": by_set["thinness"].mean(),
            "thin": by_set["thinness"].agg(lambda values: float((values > THIN_ABOVE).mean())),
        }
    ).reset_index()


def draw_summary(objects: pd.DataFrame) -> Figure:
    """Draws which share of each set's objects is at most so large, and at most so thin."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for (part, name), of_set in objects.groupby(SET, sort=False):
        label = f"{plain_text(str(name))} ({part}, {len(of_set)})"
        _draw_distribution(left, of_set["area"] / (of_set["height"] * of_set["width"]), label)
        _draw_distribution(right, of_set["thinness"], label)
    left.set(xscale="log", xlabel="area of the object / area of the photo", ylabel="share of the objects", ylim=(0, 1))
    right.set(xlabel="thinness", xlim=(0, 1))
    right.axvline(THIN_ABOVE, color="black", linestyle=":", label="thin above")
    figure.legend(*right.get_legend_handles_labels(), fontsize=7, loc="outside right upper")
    return figure


def _draw_distribution(axis: Axes, values: Sequence[float] | pd.Series, label: str) -> None:
    ordered = np.sort(np.asarray(values, float))
    axis.step(ordered, np.arange(1, len(ordered) + 1) / len(ordered), where="post", label=label)
    axis.grid(alpha=0.3)
