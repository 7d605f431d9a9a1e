"""Clicks lie in the error region, come from their mask's seed alone, and prompts grow by one click a round."""

from collections import Counter

import pytest
import torch
from torch import Tensor

from hqsam_lightning.pretraining.model import Decoded
from hqsam_lightning.pretraining.rounds import (
    add_clicks,
    correction_rounds,
    coverage_of,
    draw_clicks,
    ignored_cells,
)
from hqsam_lightning.types import PromptGroup

SIDE, FRAME = 16, 64


def blobs(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Logits and coverage, (count, 1, SIDE, SIDE), that differ in about half of the pixels."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, SIDE, SIDE, generator=generator), torch.rand(count, 1, SIDE, SIDE, generator=generator)


def cells(coords: Tensor) -> list[tuple[int, int]]:
    """(x, y) logit pixels that hold the coordinates' pixel centres."""
    return [tuple(cell) for cell in ((coords + 0.5) * SIDE / FRAME).floor().long().tolist()]


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


def test_coverage_is_the_share_of_object() -> None:
    masks = torch.zeros(1, 1, FRAME, FRAME)
    masks[0, 0, :2, :3] = 1
    coverage = coverage_of(masks, SIDE)
    assert coverage.shape == (1, 1, SIDE, SIDE)
    assert coverage[0, 0, 0, 0] == 6 / 16
    assert coverage.sum() == 6 / 16


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


def run(seeds: list[int]) -> tuple[list[list[PromptGroup]], list[Decoded]]:
    """Three rounds of a decoder that predicts noise, the same for each mask."""
    rows = len(seeds)
    noise, coverage = (values[:1].expand(rows, -1, -1, -1) for values in blobs(1, 0))
    given: list[list[PromptGroup]] = []

    def decode(groups: list[PromptGroup]) -> Decoded:
        given.append(groups)
        logits = torch.cat([noise * len(given), torch.zeros(rows, 3, SIDE, SIDE)], dim=1).requires_grad_()
        return Decoded(logits, torch.zeros(rows, 4))

    first = [PromptGroup(torch.arange(rows), boxes=torch.zeros(rows, 4))]
    return given, list(correction_rounds(decode, first, coverage, seeds, 3, FRAME))


def test_each_round_adds_a_click_and_the_last_logits() -> None:
    given, decoded = run([5, 6])
    assert [group.masks is None for (group,) in given] == [True, False, False]
    assert [None if group.point_coords is None else group.point_coords.shape[1] for (group,) in given] == [None, 1, 2]
    assert torch.equal(given[1][0].point_coords, given[2][0].point_coords[:, :1])
    for number in (1, 2):
        assert torch.equal(given[number][0].masks, decoded[number - 1].logits[:, :1])
        assert not given[number][0].masks.requires_grad


def test_clicks_follow_from_the_masks_seed_and_the_round() -> None:
    together = run([5, 6, 5])[0][2][0].point_coords
    alone = run([6])[0][2][0].point_coords
    assert torch.equal(together[1], alone[0])
    assert torch.equal(together[0], together[2])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together[0, 0], together[0, 1])


def test_one_round_draws_no_click() -> None:
    groups = [PromptGroup(torch.arange(1), boxes=torch.zeros(1, 4))]
    decoded = Decoded(torch.zeros(1, 4, SIDE, SIDE), torch.zeros(1, 4))
    assert list(correction_rounds(lambda _: decoded, groups, torch.zeros(1, 1, SIDE, SIDE), [0], 1, FRAME)) == [decoded]


# --- ignored pixels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "side"), [(64, 16), (60, 16), (16, 16)])
def test_a_logits_pixel_is_ignored_where_it_averages_an_ignored_pixel(size: int, side: int) -> None:
    ignore = torch.rand(2, 1, size, size, generator=torch.Generator().manual_seed(0)) < 0.05
    made = ignored_cells(ignore, side)
    assert torch.equal(made, coverage_of(ignore.float(), side) > 0)
    assert 0 < made.float().mean() < 1
    assert ignored_cells(None, side) is None


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
