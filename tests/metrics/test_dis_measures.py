"""The measures of dichotomous segmentation against plain implementations of their definitions."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from scipy.ndimage import (
    binary_dilation,
    binary_erosion,
    distance_transform_edt,
    gaussian_filter,
    generate_binary_structure,
    label,
)
from skimage.morphology import skeletonize

from blobs import blobs
from hqsam_lightning.config import conf_dir
from hqsam_lightning.metrics import (
    Metric,
    e_measure,
    f_measure,
    human_correction_effort,
    mean_absolute_error,
    s_measure,
    weighted_f,
)

MEASURES = (mean_absolute_error, f_measure, e_measure, s_measure, weighted_f, human_correction_effort)
CROSS = generate_binary_structure(2, 1)


def plain_mae(pred: np.ndarray, target: np.ndarray) -> float:
    return np.abs(pred.astype(float) - target).mean()


def plain_f(pred: np.ndarray, target: np.ndarray) -> float:
    if not pred.any() or not target.any():
        return float(pred.any() == target.any())
    precision, recall = target[pred].mean(), pred[target].mean()
    return 1.3 * precision * recall / (0.3 * precision + recall) if recall else 0.0


def plain_e(pred: np.ndarray, target: np.ndarray) -> float:
    if target.all() or not target.any():
        return (pred == target).mean()
    one, other = (mask - mask.mean() for mask in (pred.astype(float), target.astype(float)))
    return ((1 + 2 * one * other / (one**2 + other**2 + 1e-300)) ** 2 / 4).mean()


def plain_s(pred: np.ndarray, target: np.ndarray) -> float:
    if target.all() or not target.any():
        return (pred == target).mean()

    def of_object(values: np.ndarray) -> float:
        deviation = values.std(ddof=1) if len(values) > 1 else 0
        return 2 * values.mean() / (values.mean() ** 2 + 1 + deviation)

    def similarity(one: np.ndarray, other: np.ndarray) -> float:
        covariance = np.cov(one, other) if len(one) > 1 else np.zeros((2, 2))
        above = 4 * one.mean() * other.mean() * covariance[0, 1]
        below = (one.mean() ** 2 + other.mean() ** 2) * (covariance[0, 0] + covariance[1, 1])
        return above / below if above else float(below == 0)

    found, true = pred.astype(float), target.astype(float)
    objects = true.mean() * of_object(found[target]) + (1 - true.mean()) * of_object(1 - found[~target])
    row, column = (int(np.round(places.mean())) + 1 for places in target.nonzero())
    regions = 0.0
    for part in (np.s_[:row, :column], np.s_[:row, column:], np.s_[row:, :column], np.s_[row:, column:]):
        if found[part].size:
            regions += found[part].size / found.size * similarity(found[part].ravel(), true[part].ravel())
    return max(0.0, 0.5 * objects + 0.5 * regions)


def plain_weighted_f(pred: np.ndarray, target: np.ndarray) -> float:
    if not pred.any() or not target.any():
        return float(pred.any() == target.any())
    error = (pred != target).astype(float)
    distance, (rows, columns) = distance_transform_edt(~target, return_indices=True)
    # a Gaussian cut off 3 px from its centre, normalised
    spread = gaussian_filter(error[rows, columns], 5, mode="constant", radius=3)
    weighted = np.zeros_like(error)
    for place in np.ndindex(error.shape):
        if target[place]:
            weighted[place] = min(error[place], spread[place])
        else:
            weighted[place] = error[place] * (2 - 0.5 ** (distance[place] / 5))
    hits = target.sum() - weighted[target].sum()
    recall, precision = hits / target.sum(), hits / (hits + weighted[~target].sum())
    return 2 * recall * precision / (recall + precision)


def plain_effort(pred: np.ndarray, target: np.ndarray) -> int:
    right, skeleton = pred & target, skeletonize(target)
    core = binary_erosion(pred | target, CROSS, iterations=5, border_value=1)

    def relaxed(errors: np.ndarray, forbidden: np.ndarray) -> np.ndarray:
        grown = errors & core
        return errors & binary_dilation(grown, CROSS, iterations=5, mask=~forbidden) if grown.any() else grown

    wrong = relaxed(pred & ~target, target)
    missed = relaxed(target & ~pred, pred) | (skeleton & ~right)
    return plain_clicks(wrong, right | missed) + plain_clicks(missed, ~(right | wrong | missed))


def plain_clicks(errors: np.ndarray, others: np.ndarray) -> int:
    near = binary_dilation(others, CROSS)
    areas, count = label(errors, np.ones((3, 3)))
    untouched, seen, clicks = set(range(1, count + 1)), set(), 0
    for contour in cv2.findContours(errors.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_NONE)[0]:
        runs: list[list[tuple[int, int]]] = [[]]
        for x, y in contour[:, 0].tolist():
            if not near[y, x] or (x, y) in seen:
                runs.append([])
                continue
            seen.add((x, y))
            runs[-1].append((x, y))
            untouched.discard(int(areas[y, x]))
        runs = [run for run in runs if run]
        if len(runs) > 1 and max(abs(a - b) for a, b in zip(runs[0][0], runs[-1][-1], strict=True)) == 1:
            runs[-1] += runs.pop(0)[::-1]
        clicks += sum(len(cv2.approxPolyDP(np.array(run, np.int32), 2.0, False)) for run in runs)
    return clicks + len(untouched)


PLAIN: dict[Callable, Callable] = dict(
    zip(MEASURES, (plain_mae, plain_f, plain_e, plain_s, plain_weighted_f, plain_effort), strict=True)
)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.__name__)
@pytest.mark.parametrize("size", [(37, 120), (90, 64), (1, 9), (2, 2)])
def test_values_are_those_of_the_definition(measure: Callable, size: tuple[int, int]) -> None:
    """Random shapes, which touch borders, with full and empty masks on either side."""
    pred, target = blobs(*size, seed=2), blobs(*size, seed=3).roll(1, 0)
    pred, target = torch.cat([pred, target]), torch.cat([target, target])
    expected = [PLAIN[measure](one, other) for one, other in zip(pred.numpy(), target.numpy(), strict=True)]
    found = measure(pred, target, None)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.__name__)
def test_a_target_serves_many_predictions_and_ignored_pixels_do_not_count(measure: Callable) -> None:
    pred, (target, ignore), noise = blobs(60, 75, seed=0), blobs(60, 75, seed=1)[:2, None], blobs(60, 75, seed=2)
    each = [measure(one[None], target, ignore).item() for one in pred]
    assert measure(pred, target, ignore).tolist() == each
    assert measure(torch.where(ignore, noise, pred), torch.where(ignore, noise[:1], target), ignore).tolist() == each
    outside = measure(pred & ~ignore, target & ~ignore, None).tolist()
    if measure in (mean_absolute_error, e_measure):
        kept = [PLAIN[measure](one[~ignore[0]].numpy(), target[~ignore].numpy()) for one in pred]
        assert each == pytest.approx(kept, abs=1e-9), "shares of the pixels that are scored"
    else:
        assert each == outside


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.__name__)
def test_equal_masks_are_best(measure: Callable) -> None:
    masks = blobs(40, 50, seed=4)
    best = 1.0 if measure in (f_measure, e_measure, s_measure, weighted_f) else 0.0
    assert measure(masks, masks, None).tolist() == pytest.approx([best] * len(masks), abs=1e-12)


@pytest.mark.parametrize("path", sorted((Path(conf_dir()) / "metric").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_metric_of_the_registry_scores_masks(path: Path) -> None:
    metric = instantiate(OmegaConf.load(path))
    assert isinstance(metric, Metric)
    target = blobs(30, 40, seed=5)[:1]
    right, nothing = metric.function(torch.cat([target, target & False]), target, None).tolist()
    assert metric.is_better(right, nothing)


def disc(x: int, y: int, radius: float) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(120), torch.arange(160), indexing="ij")
    return ((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)[None]


SQUARE = torch.zeros(1, 120, 160, dtype=torch.bool)
SQUARE[:, 20:100, 10:90] = True


@pytest.mark.parametrize(
    ("pred", "clicks"),
    [
        (SQUARE, 0),
        (SQUARE | disc(125, 60, 14), 1),  # an area apart: one click takes it away
        (SQUARE & ~disc(30, 50, 8), 1),  # a hole: one click fills it
        (SQUARE.roll(2, 2) | SQUARE, 0),  # a border that is off by 2 px
        (
            torch.zeros_like(SQUARE),
            9,
        ),  # five dilations cut its corners: eight points, and back to the first
    ],
    ids=["equal", "apart", "hole", "border", "nothing"],
)
def test_clicks_that_correct_a_square(pred: torch.Tensor, clicks: int) -> None:
    assert human_correction_effort(pred, SQUARE).tolist() == [clicks]
