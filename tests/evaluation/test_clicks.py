"""Clicks are where a plain second implementation has them; numbers of clicks are those counted by hand."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from hqsam_lightning.evaluation.clicks import clicks_needed, next_click


def plain_click(predicted: np.ndarray, target: np.ndarray, clicked: list) -> tuple[int, bool]:
    """Depth of the click and its label, by another library."""
    depths = [
        distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1] for part in (target & ~predicted, predicted & ~target)
    ]
    for depth in depths:
        for x, y in clicked:
            depth[y, x] = 0
    return max(depths[0].max(), depths[1].max()), bool(depths[0].max() > depths[1].max())


def test_a_click_is_in_the_middle_of_the_largest_error() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        height, width = rng.integers(8, 40, 2)
        target, predicted = (rng.random((height // 4 + 1, width // 4 + 1)) < 0.5 for _ in range(2))
        target, predicted = (np.kron(part, np.ones((4, 4), bool)) for part in (target, predicted))
        clicked = [(int(rng.integers(target.shape[1])), int(rng.integers(target.shape[0]))) for _ in range(3)]
        if not (target ^ predicted).any():
            continue
        x, y, label = next_click(predicted, target, clicked)
        depth, is_missed = plain_click(predicted, target, clicked)
        assert label == is_missed
        assert (x, y) not in clicked
        own = distance_transform_edt(np.pad(target & ~predicted if label else predicted & ~target, 1))[1:-1, 1:-1]
        assert own[y, x] == pytest.approx(depth, abs=1e-3)


def test_without_an_error_it_is_on_the_object() -> None:
    target = np.zeros((9, 9), bool)
    target[2:7, 2:7] = True
    assert next_click(target, target, []) == (4, 4, 1)
    x, y, label = next_click(target, target, [(4, 4)])
    assert target[y, x]
    assert label == 1


def test_numbers_of_clicks_are_those_counted_by_hand() -> None:
    """Five images of four clicks; 90 % is never reached by the last one."""
    ious = [
        [0.91, 0.92, 0.95, 0.97],
        [0.50, 0.90, 0.80, 0.96],
        [0.10, 0.20, 0.30, 0.95],
        [0.95, 0.10, 0.10, 0.10],
        [0.10, 0.20, 0.30, 0.89],
    ]
    assert [clicks_needed(of_image, 0.90) for of_image in ious] == [1, 2, 4, 1, 4]
    assert [clicks_needed(of_image, 0.95) for of_image in ious] == [3, 4, 4, 1, 4]
