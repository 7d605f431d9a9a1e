"""Differences to plain SAM on the same masks, with bootstrap intervals over images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hqsam_lightning.evaluation.scores import BASELINE_ROW, MaskScores, Row

CONFIDENCE = 0.95
RESAMPLES = 2000
RESAMPLES_AT_ONCE = 100  # bounds the memory that thousands of images take
SEED = 0


@dataclass(frozen=True)
class Interval:
    """A mean difference and its 95 % interval, in shares: 0.01 is one point.

    Attributes:
        mean: over images.
        low: lower end; None where there is one image alone.
        high: upper end; None where there is one image alone.
    """

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """What a row gains over plain SAM.

    Attributes:
        images: how many were compared.
        miou: of the mask IoU.
        mbiou: of the boundary IoU.
    """

    images: int
    miou: Interval
    mbiou: Interval


def image_differences(masks: Sequence[MaskScores], row: Row) -> dict[str, np.ndarray]:
    """Differences (IoU, boundary IoU) of a row to plain SAM, (2,) an image: the mean over the image's masks.

    The image is the unit, since masks of one photo are not independent of each other. Where images have several masks,
    the mean over images is therefore not exactly the difference of two means over masks.
    """
    by_image: dict[str, list[np.ndarray]] = {}
    for mask in masks:
        difference = np.subtract(mask.scores[row], mask.scores[BASELINE_ROW])
        by_image.setdefault(mask.sample_id, []).append(difference)
    return {sample_id: np.mean(differences, axis=0) for sample_id, differences in by_image.items()}


def mean_over_seeds(runs: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Averages each image's differences over runs on the same images, before anything is said about the images."""
    return {sample_id: np.mean([run[sample_id] for run in runs], axis=0) for sample_id in runs[0]}


def paired_difference(differences: Mapping[str, np.ndarray]) -> Difference:
    """Mean over images with a 95 % percentile bootstrap interval; the same images always give the same interval.

    Args:
        differences: of at least one image, see `image_differences`; images are taken in the order of their ids.
    """
    values = np.stack([differences[sample_id] for sample_id in sorted(differences)])
    means = values.mean(0).tolist()
    low: list[float | None] = [None, None]
    high: list[float | None] = [None, None]
    if len(values) > 1:
        bounds = stats.bootstrap(
            (values,),
            np.mean,
            axis=0,
            method="percentile",
            confidence_level=CONFIDENCE,
            n_resamples=RESAMPLES,
            batch=RESAMPLES_AT_ONCE,
            random_state=np.random.default_rng(SEED),
        ).confidence_interval
        low, high = bounds.low.tolist(), bounds.high.tolist()
    return Difference(len(values), *(Interval(*ends) for ends in zip(means, low, high, strict=True)))
