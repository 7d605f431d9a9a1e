"""What a metric is to the rest of the package; conf/metric/ has those that are shipped.

A metric of one's own is a function like `MaskFunction` and a YAML file beside it, see docs/extending.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor


class MaskFunction(Protocol):
    """Scores several predictions of one mask."""

    def __call__(self, pred: Tensor, target: Tensor, ignore: Tensor | None) -> Tensor:
        """Returns one finite value per prediction, also where prediction, truth or both are empty.

        Args:
            pred: (N, H, W) bool, at the image's own size.
            target: (1, H, W) bool, the true mask of all N.
            ignore: (1, H, W) bool, pixels that are not scored; None where every pixel is.

        Returns:
            (N,) float64.
        """


@dataclass(frozen=True)
class Quantity:
    """What is measured, as reports name and show it.

    Attributes:
        label: what reports call its mean.
        percent: whether values are shares, which reports show in percent.
        greater_is_better: whether a greater value is a better one.
    """

    label: str
    percent: bool = True
    greater_is_better: bool = True

    def is_better(self, value: float, other: float) -> bool:
        """Whether a value is better than another."""
        return value > other if self.greater_is_better else value < other

    def show(self, value: float) -> str:
        """A value as tables and pictures give it."""
        return f"{100 * value:.1f}" if self.percent else f"{value:.4g}"


@dataclass(frozen=True)
class Metric(Quantity):
    """A metric of masks; its key in the config's `metrics` is its name in tables.

    Attributes:
        function: scores several predictions of one mask.
    """

    function: MaskFunction = field(kw_only=True)
