"""The boundary F measure against DAVIS's definition, with SciPy's distances."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from blobs import blobs
from hqsam_lightning.metrics import boundary_f


def reference_contour(mask: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Pixels that differ from their neighbour to the right, below or both, where both are known."""
    contour = np.zeros_like(mask)
    height, width = mask.shape
    for down, right in ((0, 1), (1, 0), (1, 1)):
        here, there = np.s_[: height - down, : width - right], np.s_[down:, right:]
        contour[here] |= (mask[here] != mask[there]) & known[here] & known[there]
    return contour


def reference_f(pred: np.ndarray, target: np.ndarray, known: np.ndarray, ratio: float) -> float:
    found, true = reference_contour(pred, known), reference_contour(target, known)
    radius = math.ceil(ratio * np.hypot(*pred.shape))
    if not found.any() or not true.any():
        return float(found.any() == true.any())
    precision = (distance_transform_edt(~true)[found] <= radius).mean()
    recall = (distance_transform_edt(~found)[true] <= radius).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize("ratio", [0.008, 0.03, 0.5])
@pytest.mark.parametrize("size", [(37, 120), (90, 64), (20, 191), (1, 9), (2, 2)])
def test_values_are_those_of_the_definition(size: tuple[int, int], ratio: float) -> None:
    pred, target = blobs(*size, seed=2), blobs(*size, seed=3).roll(1, 0)
    pairs = zip(pred.numpy(), target.numpy(), strict=True)
    expected = [reference_f(*pair, np.ones(size, bool), ratio) for pair in pairs]
    found = boundary_f(pred, target, dilation_ratio=ratio)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shift", [0, 1, 3, 6, 7, 40])
def test_the_tolerance_is_euclidean(shift: int) -> None:
    """Single pixels far from each other: r = ceil(0.03 * 200 * sqrt(2)) = 9 reaches (7, 5), but not (7, 6)."""
    pred, target = torch.zeros(2, 1, 200, 200, dtype=torch.bool)
    pred[0, 100, 100] = target[0, 100 + 7, 100 + shift] = True
    expected = reference_f(pred[0].numpy(), target[0].numpy(), np.ones((200, 200), bool), 0.03)
    assert boundary_f(pred, target, dilation_ratio=0.03).item() == pytest.approx(expected, abs=1e-12)


def test_ignored_pixels_show_no_contour() -> None:
    pred, target, ignore, noise = (blobs(60, 75, seed=seed) for seed in range(4))
    triples = zip(pred.numpy(), target.numpy(), ~ignore.numpy(), strict=True)
    expected = [reference_f(*triple, 0.02) for triple in triples]
    assert boundary_f(pred, target, ignore, 0.02).tolist() == pytest.approx(expected, abs=1e-12)
    other = [torch.where(ignore, noise, mask) for mask in (pred, target)]
    assert torch.equal(boundary_f(pred, target, ignore), boundary_f(*other, ignore))


def test_empty_and_full_masks() -> None:
    """Neither has a contour, since the frame bounds no object."""
    empty, full = torch.zeros(1, 12, 15, dtype=torch.bool), torch.ones(1, 12, 15, dtype=torch.bool)
    half = full.clone()
    half[:, :6] = False
    assert [boundary_f(empty, mask).item() for mask in (empty, full, half)] == [1, 1, 0]
    assert boundary_f(half, full).item() == 0
