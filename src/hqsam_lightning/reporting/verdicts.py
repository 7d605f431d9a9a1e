"""Whether a trained head is worth using, and with which output, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from hqsam_lightning.evaluation.choosing import PLAIN
from hqsam_lightning.evaluation.table import BASELINE, differences
from hqsam_lightning.reporting.metric_facts import MetricFacts
from hqsam_lightning.reporting.tables import OUTPUT_NAMES


def verdict(table: pd.DataFrame, variant: str, output: str, metric: str, metrics: Mapping[str, MetricFacts]) -> str:
    """Says what was chosen by held-out masks, and why.

    Args:
        table: of scores that the choice was made by.
        variant: name of the head.
        output: that was chosen, "sam" for none.
        metric: of `metrics`, that decided.
        metrics: of the table, by name.
    """
    gains = differences(table[table["variant"].isin([BASELINE, variant])])
    gains = gains[gains["group_of_objects"] == "all"]
    photos = gains.drop_duplicates(["dataset"])["units"].sum()
    tested = f"tested on {photos} photos that the tested head had not seen"
    if output != PLAIN:
        name, shown = OUTPUT_NAMES[output], _listed(gains[gains["output"] == output], metrics)
        return f"{variant} is worth using, with {name} (output={output}): {tested}, {shown} over plain SAM."
    by_output = gains[gains["metric"] == metric].groupby("output", sort=False)
    shown = ", ".join(f"{OUTPUT_NAMES[name]} {_listed(part, metrics)}" for name, part in by_output)
    return (
        f"{variant} is not worth using, plain SAM is taken (output={PLAIN}): {tested}, no output is better than SAM "
        f"beyond chance ({shown})."
    )


def _listed(gains: pd.DataFrame, metrics: Mapping[str, MetricFacts]) -> str:
    """Such as "+1.2 mIoU [0.4, 2.1] and +3.4 mBIoU [1.9, 4.8]"; of several sets, each with its name."""
    several = len(gains[["dataset", "prompts"]].drop_duplicates()) > 1
    texts = []
    for line in gains.itertuples():
        facts = metrics[line.metric]
        value, _, interval = facts.with_interval(line.mean, line.low, line.high).partition(" ")
        place = f" on {line.dataset}, {line.prompts}" if several else ""
        texts.append(f"{value} {facts.label} {interval}".rstrip() + place)
    return " and ".join(texts)
