"""Which logits of a trained head to use, by what held-out masks show: HQ alone, SAM + HQ, or plain SAM's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from hqsam_lightning.evaluation.table import BASELINE, BASELINE_ROW, differences
from hqsam_lightning.metrics import Metric

PLAIN = BASELINE_ROW[1]
"""The output that a head is not needed for."""


def choose_output(table: pd.DataFrame, variant: str, metric: str, metrics: Mapping[str, Metric]) -> str:
    """Chooses between a variant's outputs and plain SAM's.

    An output has to be better than plain SAM: by the metric with the whole 95 % interval of the difference, by the
    others on average, on every set and with every kind of prompts. Of several, the one whose interval ends highest
    above plain SAM at its lower end is taken.

    Args:
        table: of scores of masks that the variant was not trained on.
        variant: its name.
        metric: of `metrics`, that decides.
        metrics: of the table, by name.

    Returns:
        "sam", or one of the variant's outputs.
    """
    found = differences(table[table["variant"].isin([BASELINE, variant])])
    gains = found[found["group_of_objects"] == "all"].copy()
    is_greater = gains["metric"].map({name: each.greater_is_better for name, each in metrics.items()}).astype(bool)
    gains["low"] = np.where(is_greater, gains["low"], -gains["high"])
    gains["mean"] = np.where(is_greater, gains["mean"], -gains["mean"])
    decides = gains["metric"] == metric
    # NaN, of a single photo, is no evidence
    gains["is_better"] = np.where(decides, gains["low"] > 0, gains["mean"] >= 0)
    better = gains.groupby("output")["is_better"].all()
    lowest = gains[decides].groupby("output")["low"].min()[better[better].index]
    return str(lowest.idxmax()) if len(lowest) else PLAIN
