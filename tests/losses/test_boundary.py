"""The boundary loss against scipy's distances, and that its points stay in the region."""

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_cdt

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.losses import BoundaryMaskLoss, PointSampledMaskLoss
from hqsam_lightning.losses.boundary import boundary_region


def blob(seed: int = 0) -> torch.Tensor:
    """(1, 1, 64, 64) with a disc and a thin bar."""
    y, x = np.mgrid[:64, :64]
    mask = (y - 20) ** 2 + (x - 24) ** 2 < 140
    mask[44:47, 5:60] = True
    return torch.from_numpy(mask).float()[None, None]


def near_both(mask: np.ndarray, radius: int) -> np.ndarray:
    """Pixels with object and background within a radius, by scipy's chessboard distances."""
    to_object = distance_transform_cdt(~mask, metric="chessboard")
    to_background = distance_transform_cdt(mask, metric="chessboard")
    return (to_object <= radius) & (to_background <= radius)


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_the_region_is_what_is_near_object_and_background(radius: int) -> None:
    region = boundary_region(blob(), (64, 64), radius)
    assert np.array_equal(region[0].numpy(), near_both(blob()[0, 0].numpy() > 0.5, radius))
    assert region.any()


def test_a_coarse_grid_sees_thin_parts() -> None:
    """A cell counts as both where it holds both."""
    thin = torch.zeros(1, 1, 64, 64)
    thin[..., 30, :] = 1
    region = boundary_region(thin, (16, 16), 1)[0]
    assert torch.equal(region.any(1), torch.tensor([row in (6, 7, 8) for row in range(16)]))


def test_points_are_uniform_over_the_region_and_nowhere_else() -> None:
    loss = BoundaryMaskLoss(dilation_ratio=0.02)  # two cells of 64
    points = loss.draw(torch.zeros(1, 1, 64, 64), blob(), [7], 200_000)[0]
    assert points.min() >= 0
    assert points.max() < 1
    cells = (points * 64).long()
    counts = torch.zeros(64, 64).index_put_((cells[:, 1], cells[:, 0]), torch.ones(len(cells)), accumulate=True)
    region = torch.from_numpy(near_both(blob()[0, 0].numpy() > 0.5, 2))
    assert counts[~region].sum() == 0
    expected = 200_000 / region.sum()
    assert (counts[region] - expected).abs().max() < 6 * expected**0.5
    within = (points * 64) % 1
    assert (within.mean(0) - 0.5).abs().max() < 0.01


def test_the_loss_knows_nothing_of_what_is_far_from_the_boundary() -> None:
    masks = blob()
    region = torch.from_numpy(near_both(masks[0, 0].numpy() > 0.5, 4))[None, None]
    logits = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    elsewhere = torch.where(region, logits, -logits)
    near, uniform = BoundaryMaskLoss(), PointSampledMaskLoss()
    # bilinear sampling reads neighbours of the region: the changed ones lie beyond them
    assert torch.equal(near(logits, masks, [1])["loss"], near(elsewhere, masks, [1])["loss"])
    assert not torch.equal(uniform(logits, masks, [1])["loss"], uniform(elsewhere, masks, [1])["loss"])


def test_a_mask_without_boundary_has_points_everywhere() -> None:
    points = BoundaryMaskLoss().draw(torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 32, 32), [1, 2], 5000)
    assert points.shape == (2, 5000, 2)
    assert len(torch.unique((points[0] * 8).long(), dim=0)) == 64


def test_points_depend_on_their_own_mask_and_seed_alone() -> None:
    loss = BoundaryMaskLoss()
    together = loss.draw(torch.zeros(2, 1, 64, 64), torch.cat([blob(), torch.ones(1, 1, 64, 64)]), [3, 4], 50)
    assert torch.equal(loss.draw(torch.zeros(1, 1, 64, 64), blob(), [3], 50)[0], together[0])


@pytest.mark.parametrize("ratio", [0, -0.1, 1.5, float("nan")])
def test_bad_ratio(ratio: float) -> None:
    with pytest.raises(ConfigError, match=r"^loss\.dilation_ratio: expected a number in \(0, 1\]; got"):
        BoundaryMaskLoss(dilation_ratio=ratio)


def hidden() -> torch.Tensor:
    """(1, 1, 64, 64) bool: a part of the disc's border, a stripe beside the bar and a field far from both."""
    ignore = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    ignore[..., 5:20, 20:40] = ignore[..., 48:52, :] = ignore[..., 25:40, 50:] = True
    return ignore


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_ignored_pixels_are_neither_object_nor_background(radius: int) -> None:
    mask, ignore = blob()[0, 0].numpy() > 0.5, hidden()[0, 0].numpy()
    to_object = distance_transform_cdt(~(mask & ~ignore), metric="chessboard")
    to_background = distance_transform_cdt(mask | ignore, metric="chessboard")
    expected = (to_object <= radius) & (to_background <= radius) & ~ignore
    cleared = torch.where(hidden(), 0, blob())
    assert np.array_equal(boundary_region(cleared, (64, 64), radius, hidden())[0].numpy(), expected)
    assert expected.sum() < near_both(mask & ~ignore, radius).sum()


@pytest.mark.parametrize("seed", range(3))
def test_no_point_is_in_a_cell_of_ignored_pixels_and_their_content_does_not_matter(seed: int) -> None:
    loss, logits = BoundaryMaskLoss(num_points=400), torch.randn(1, 1, 64, 64, generator=torch.manual_seed(seed))
    points = loss.draw(logits, blob(), [seed], 5000, hidden())[0]
    cells = (points * 64).long()
    assert not hidden()[0, 0, cells[:, 1], cells[:, 0]].any()
    other = torch.where(hidden(), 1 - blob(), blob())
    terms = [loss(logits, masks, [seed], ignore=hidden()) for masks in (blob(), other)]
    assert torch.equal(terms[0]["loss"], terms[1]["loss"])
    assert torch.equal(
        loss(logits, blob(), [seed])["loss"], loss(logits, blob(), [seed], None, hidden() & False)["loss"]
    )


def test_a_mask_of_ignored_pixels_alone_costs_nothing() -> None:
    ignore = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    terms = BoundaryMaskLoss(num_points=50)(torch.randn(1, 1, 16, 16), blob(), [1], ignore=ignore)
    assert [value.item() for value in terms.values()] == [0, 0, 0]
