"""The deepest point of an object; clicks lie in the error region, and prompts grow by one click per round."""

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from hqsam_lightning.prompts.clicks import add_clicks, deepest_points, draw_clicks
from hqsam_lightning.types import PromptGroup

SIDE, FRAME = 16, 64


def masks(count: int) -> torch.Tensor:
    noise = torch.randn(count, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    smooth = F.avg_pool2d(noise, 15, stride=1, padding=7)
    return (smooth > 0.03).float()


def blobs(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Logits and coverage, (count, 1, SIDE, SIDE), that differ in about half of the pixels."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, SIDE, SIDE, generator=generator), torch.rand(count, 1, SIDE, SIDE, generator=generator)


def cells(coords: Tensor) -> list[tuple[int, int]]:
    """(x, y) logit pixels that hold the coordinates' pixel centres."""
    return [tuple(cell) for cell in ((coords + 0.5) * SIDE / FRAME).floor().long().tolist()]


def test_the_point_is_deepest() -> None:
    group = deepest_points(masks(6))
    assert group.rows.tolist() == list(range(6))
    assert group.point_labels.tolist() == [[1]] * 6
    for mask, (x, y) in zip(masks(6)[:, 0], group.point_coords[:, 0].long().tolist(), strict=True):
        depth = distance_transform_edt(F.pad(mask, (1, 1, 1, 1)).numpy())[1:-1, 1:-1]
        assert depth[y, x] == pytest.approx(depth.max(), abs=1e-4)


def test_the_frame_is_background_to_a_full_mask() -> None:
    assert deepest_points(torch.ones(1, 1, 63, 63)).point_coords.tolist() == [[[31, 31]]]


@pytest.mark.parametrize("seed", range(5))
def test_clicks_lie_in_the_error(seed: int) -> None:
    logits, coverage = blobs(20, seed)
    draws = torch.rand(20, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    coords, labels = draw_clicks(logits, coverage, draws, FRAME)
    for row, (x, y) in enumerate(cells(coords)):
        assert (logits[row, 0, y, x] > 0) != (coverage[row, 0, y, x] > 0.5)
        assert labels[row] == (coverage[row, 0, y, x] > 0.5)
    assert set(labels.tolist()) == {0, 1}


def test_every_error_pixel_is_drawn_alike() -> None:
    logits, coverage = blobs(1, 0)
    error = (logits > 0) != (coverage > 0.5)
    count = int(error.sum())
    draws = (torch.arange(4 * count, dtype=torch.float64) + 0.5) / (4 * count)
    coords, _ = draw_clicks(logits.expand(4 * count, -1, -1, -1), coverage.expand(4 * count, -1, -1, -1), draws, FRAME)
    drawn = Counter(cells(coords))
    assert set(drawn) == {(x, y) for y, x in error[0, 0].nonzero().tolist()}
    assert set(drawn.values()) == {4}


def test_the_ends_of_the_draws() -> None:
    logits, coverage = blobs(2, 0)
    draws = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    first, last = cells(
        draw_clicks(logits[:1].expand(2, -1, -1, -1), coverage[:1].expand(2, -1, -1, -1), draws, FRAME)[0]
    )
    error = ((logits[0, 0] > 0) != (coverage[0, 0] > 0.5)).nonzero().tolist()
    assert [first, last] == [tuple(reversed(error[0])), tuple(reversed(error[-1]))]


def test_without_an_error_the_click_is_on_the_object() -> None:
    coverage = torch.zeros(1, 1, SIDE, SIDE)
    coverage[0, 0, 3:5, 7:9] = 1
    coords, labels = draw_clicks(coverage - 0.5, coverage, torch.tensor([0.99], dtype=torch.float64), FRAME)
    assert cells(coords) == [(8, 4)]
    assert coords.tolist() == [[8.5 * 4 - 0.5, 4.5 * 4 - 0.5]]
    assert labels.tolist() == [1]


@pytest.mark.parametrize("prediction", [-1.0, 1.0])
def test_an_object_thinner_than_a_logit_is_where_it_covers_most(prediction: float) -> None:
    coverage = torch.zeros(1, 1, SIDE, SIDE)
    coverage[0, 0, 2], coverage[0, 0, 2, 11] = 0.3, 0.4
    draws = torch.tensor([0.5], dtype=torch.float64)
    coords, labels = draw_clicks(torch.full_like(coverage, prediction), coverage, draws, FRAME)
    assert (cells(coords) == [(11, 2)]) == (labels.tolist() == [1]) == (prediction < 0)


def test_a_group_keeps_its_prompts_and_gets_its_own_clicks() -> None:
    coords, labels = torch.arange(6.0).reshape(3, 2), torch.tensor([1, 0, 1])
    logits = torch.randn(3, 1, SIDE, SIDE)
    box = add_clicks(PromptGroup(torch.tensor([2]), boxes=torch.ones(1, 4)), coords, labels, logits)
    assert torch.equal(box.boxes, torch.ones(1, 4))
    assert box.point_coords.tolist() == [[[4.0, 5.0]]]
    assert torch.equal(box.masks, logits[2:])
    rows = torch.tensor([1, 0])
    clicked = PromptGroup(rows, point_coords=torch.zeros(2, 1, 2), point_labels=torch.ones(2, 1, dtype=torch.int64))
    points = add_clicks(clicked, coords, labels, logits)
    assert points.point_coords.tolist() == [[[0, 0], [2, 3]], [[0, 0], [0, 1]]]
    assert points.point_labels.tolist() == [[1, 0], [1, 1]]
    assert torch.equal(points.masks, logits[[1, 0]])


@pytest.mark.parametrize("seed", range(5))
def test_clicks_lie_in_the_error_outside_the_ignored_pixels(seed: int) -> None:
    logits, coverage = blobs(20, seed)
    generator = torch.Generator().manual_seed(seed)
    ignore = torch.rand(20, 1, SIDE, SIDE, generator=generator) < 0.7
    draws = torch.rand(20, dtype=torch.float64, generator=generator)
    coords, labels = draw_clicks(logits, coverage, draws, FRAME, ignore)
    for row, (x, y) in enumerate(cells(coords)):
        assert not ignore[row, 0, y, x]
        assert (logits[row, 0, y, x] > 0) != (coverage[row, 0, y, x] > 0.5)
        assert labels[row] == (coverage[row, 0, y, x] > 0.5)


def test_what_is_ignored_is_no_error() -> None:
    coverage = torch.zeros(1, 1, SIDE, SIDE)
    coverage[..., 3, 4] = 1
    logits = torch.where(coverage > 0, 1.0, -1.0)
    logits[..., 8:, :] = 1  # wrong only where it is ignored
    ignore = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.bool)
    ignore[..., 8:, :] = True
    coords, labels = draw_clicks(logits, coverage, torch.tensor([0.5]), FRAME, ignore)
    assert cells(coords) == [(4, 3)]
    assert labels.tolist() == [1]


@pytest.mark.parametrize("prediction", [-1.0, 1.0])
def test_an_object_in_ignored_pixels_alone_is_clicked_on(prediction: float) -> None:
    coverage = torch.zeros(1, 1, SIDE, SIDE)
    coverage[..., 3, 4] = 0.3
    logits = torch.where(coverage > 0, prediction, -1.0)
    everything = torch.ones(1, 1, SIDE, SIDE, dtype=torch.bool)
    coords, labels = draw_clicks(logits, coverage, torch.tensor([0.5]), FRAME, everything)
    assert cells(coords) == [(4, 3)]
    assert labels.tolist() == [1]
