"""Rounds add one click per mask, drawn from the mask's seed alone."""

import pytest
import torch
from torch import Tensor

from hqsam_lightning.pretraining.model import Decoded
from hqsam_lightning.pretraining.rounds import correction_rounds, coverage_of, ignored_cells
from hqsam_lightning.types import PromptGroup

SIDE, FRAME = 16, 64


def blobs(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Logits and coverage, (count, 1, SIDE, SIDE), that differ in about half of the pixels."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, SIDE, SIDE, generator=generator), torch.rand(count, 1, SIDE, SIDE, generator=generator)


def test_coverage_is_the_share_of_object() -> None:
    masks = torch.zeros(1, 1, FRAME, FRAME)
    masks[0, 0, :2, :3] = 1
    coverage = coverage_of(masks, SIDE)
    assert coverage.shape == (1, 1, SIDE, SIDE)
    assert coverage[0, 0, 0, 0] == 6 / 16
    assert coverage.sum() == 6 / 16


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
