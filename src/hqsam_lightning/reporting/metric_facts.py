"""What reports know of a metric: its label, and how its values are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NOTHING = "-"


@dataclass(frozen=True)
class MetricFacts:
    """A metric as metrics.json holds it.

    Attributes:
        label: what tables call its mean.
        percent: whether values are shares, which are written in percent.
        greater_is_better: whether a greater value is a better one.
    """

    label: str
    percent: bool = True
    greater_is_better: bool = True

    @classmethod
    def of(cls, metric: Any) -> MetricFacts:
        """The facts of a `hqsam_lightning.metrics.Metric`, or of anything with the same attributes."""
        return cls(metric.label, metric.percent, metric.greater_is_better)

    @property
    def unit(self) -> str:
        """The label with its unit, such as "mIoU %"."""
        return f"{self.label} %" if self.percent else self.label

    def text(self, value: float, sign: str = "") -> str:
        """A value, such as "75.2" of 0.752 in percent; `sign` "+" writes that of positive values, too."""
        return f"{100 * value:{sign}.1f}" if self.percent else f"{value:{sign}.3f}"

    def with_spread(self, mean: float, std: float) -> str:
        """A mean over seeds, such as "63.2 ± 0.4"; without a spread where there is one seed."""
        return self.text(mean) if math.isnan(std) else f"{self.text(mean)} ± {self.text(std)}"

    def with_interval(self, mean: float, low: float, high: float) -> str:
        """A difference, such as "+3.1 [2.0, 4.2]"; without an interval where there is one unit."""
        signed = self.text(mean, "+")
        return signed if math.isnan(low) else f"{signed} [{self.text(low)}, {self.text(high)}]"


def describe(metrics: Mapping[str, MetricFacts]) -> str:
    """What a cell of several numbers holds, such as "mIoU / mBIoU in percent"."""
    if all(metric.percent for metric in metrics.values()):
        return f"{' / '.join(metric.label for metric in metrics.values())} in percent"
    return " / ".join(metric.unit for metric in metrics.values())


def facts_of(metrics: Mapping[str, Any]) -> dict[str, MetricFacts]:
    """The facts of each metric, by its key in the config's `metrics`."""
    return {name: MetricFacts.of(metric) for name, metric in metrics.items()}


def of_table(metrics: Mapping[str, MetricFacts], names: Iterable[str]) -> dict[str, MetricFacts]:
    """The facts of a table's metrics, in the order of the config."""
    used = set(names)
    return {name: metric for name, metric in metrics.items() if name in used}
