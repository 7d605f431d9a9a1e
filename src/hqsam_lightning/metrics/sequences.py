"""How DAVIS summarises an object's J or F over the frames of its clip: mean, recall and decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RECALLED_ABOVE = 0.5
_BINS = 4


class SequenceSummary(NamedTuple):
    """Of one object in one clip.

    Attributes:
        mean: over the frames.
        recall: share of the frames whose value is above 0.5.
        decay: mean of the first quarter of the frames minus that of the last; positive where values fall.
    """

    mean: float
    recall: float
    decay: float


def summarise_sequence(values: Sequence[float]) -> SequenceSummary:
    """Summarises an object's values, one per scored frame.

    DAVIS leaves out a clip's first frame, whose mask is given, and its last one, and averages objects rather than
    frames: an object of a short clip counts as much as one of a long clip.

    Args:
        values: J or F of each frame, in the order of the frames.

    Returns:
        Mean, recall and decay; adjacent quarters share a frame.

    Raises:
        ValueError: there is no value.

    Example:
        >>> summarise_sequence([1.0, 0.75, 0.5, 0.25])
        SequenceSummary(mean=0.625, recall=0.5, decay=0.5)
    """
    if not len(values):
        raise ValueError("expected a value of at least one frame, got none")
    series = np.asarray(values, np.float64)
    # as in the official code, where the small number rounds half-way places up
    ends = np.round(np.linspace(1, len(series), _BINS + 1) + 1e-10).astype(int) - 1
    first, last = series[ends[0] : ends[1] + 1], series[ends[-2] : ends[-1] + 1]
    return SequenceSummary(
        float(series.mean()), float((series > RECALLED_ABOVE).mean()), float(first.mean() - last.mean())
    )
