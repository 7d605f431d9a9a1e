import re

import numpy as np
import pytest
import torch
from scipy import ndimage

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.losses import PointSampledMaskLoss, sample_points
from hqsam_lightning.losses.point_sampled import sample_values


def make_inputs(count: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Random smooth logits at (18, 24) and soft masks at (72, 96)."""
    rng = np.random.default_rng(seed)
    logits = np.stack([ndimage.gaussian_filter(n, 1.5) for n in rng.standard_normal((count, 18, 24))]) * 20
    masks = np.stack(
        [ndimage.gaussian_filter((n > 0).astype(float), 2.0) for n in rng.standard_normal((count, 72, 96))]
    )
    masks = np.clip((masks - 0.5) * 8 + 0.5, 0, 1)
    as_tensor = [torch.from_numpy(a[:, None]).float() for a in (logits, masks)]
    return as_tensor[0], as_tensor[1], [11 + 7 * i for i in range(count)]


def read_map(values: torch.Tensor, points: np.ndarray) -> np.ndarray:
    """Bilinear reading of one (h, w) map at (P, 2) points in [0, 1], zeros around it."""
    height, width = values.shape
    rows, columns = points[:, 1] * height - 0.5, points[:, 0] * width - 0.5
    array = values.detach().double().numpy()
    return ndimage.map_coordinates(array, [rows, columns], order=1, mode="grid-constant", cval=0.0)


def reference_points(logits: torch.Tensor, seed: int, oversampled: int, important: int, fresh: int) -> np.ndarray:
    drawn = torch.rand(oversampled + fresh, 2, generator=torch.Generator().manual_seed(seed)).double().numpy()
    doubt = np.abs(read_map(logits, drawn[:oversampled]))
    return np.concatenate([drawn[np.argsort(doubt)[:important]], drawn[oversampled:]])


def reference_loss(logits, masks, seeds, counts) -> dict[str, float]:
    """Straight from the protocol, a mask at a time in float64."""
    bces, dices = [], []
    for logit, mask, seed in zip(logits[:, 0], masks[:, 0], seeds, strict=True):
        points = reference_points(logit, seed, *counts)
        x, y = read_map(logit, points), read_map(mask, points)
        p = 1 / (1 + np.exp(-x))
        bces.append(np.mean(-y * np.log(p) - (1 - y) * np.log(1 - p)))
        dices.append(1 - (2 * np.sum(p * y) + 1) / (np.sum(p) + np.sum(y) + 1))
    return {"bce": float(np.mean(bces)), "dice": float(np.mean(dices))}


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({"num_points": 400}, (1200, 300, 100)),
        ({"num_points": 100, "oversample_ratio": 1.5, "importance_ratio": 0.5}, (150, 50, 50)),
        ({"num_points": 100, "importance_ratio": 0.0}, (300, 0, 100)),
        ({"num_points": 100, "importance_ratio": 1.0}, (300, 100, 0)),
        ({"num_points": 1}, (3, 0, 1)),
        ({}, (37632, 9408, 3136)),
    ],
)
def test_equals_a_plain_second_implementation(settings: dict, counts: tuple[int, int, int]):
    inputs = make_inputs()
    result = PointSampledMaskLoss(**settings)(*inputs)
    expected = reference_loss(*inputs, counts)
    assert result["bce"].item() == pytest.approx(expected["bce"], rel=1e-4)
    assert result["dice"].item() == pytest.approx(expected["dice"], rel=1e-4)
    assert result["loss"].item() == pytest.approx(expected["bce"] + expected["dice"], rel=1e-4)


def test_weights():
    inputs = make_inputs()
    plain = PointSampledMaskLoss(num_points=50)(*inputs)
    weighted = PointSampledMaskLoss(num_points=50, bce_weight=5.0, dice_weight=0.5)(*inputs)
    torch.testing.assert_close(weighted["loss"], 5 * plain["bce"] + 0.5 * plain["dice"])
    assert torch.equal(weighted["bce"], plain["bce"])
    assert torch.equal(weighted["dice"], plain["dice"])


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1]])
def test_a_mask_loses_the_same_in_any_batch(order: list[int]):
    logits, masks, seeds = make_inputs()
    loss = PointSampledMaskLoss(num_points=200)
    together = loss(logits[order], masks[order], [seeds[i] for i in order])
    alone = [loss(logits[[i]], masks[[i]], [seeds[i]]) for i in order]
    for key in ("loss", "bce", "dice"):
        torch.testing.assert_close(together[key], torch.stack([a[key] for a in alone]).mean(), rtol=1e-6, atol=0)


def test_the_seed_alone_decides_the_draws():
    logits, masks, seeds = make_inputs()
    loss = PointSampledMaskLoss(num_points=50)
    first = loss(logits, masks, seeds)["loss"]
    before = torch.get_rng_state()
    again = loss(logits, masks, seeds)["loss"]
    other = loss(logits, masks, [s + 1 for s in seeds])["loss"]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_important_points_are_the_least_certain():
    logits, _, _ = make_inputs()
    candidates, fresh = torch.rand(2, 3, 90, 2, generator=torch.Generator().manual_seed(0))
    points = sample_points(logits, candidates, fresh, 30)
    assert points.shape == (3, 120, 2)
    assert torch.equal(points[:, 30:], fresh)
    for logit, kept, drawn in zip(logits[:, 0], points[:, :30].numpy(), candidates.numpy(), strict=True):
        doubts = np.sort(np.abs(read_map(logit, drawn)))
        np.testing.assert_allclose(np.abs(read_map(logit, kept)), doubts[:30], rtol=1e-3, atol=1e-4)
        assert {tuple(p) for p in kept} <= {tuple(p) for p in drawn}


def test_ties_keep_the_order_of_the_draws():
    candidates, fresh = torch.rand(2, 1, 90, 2, generator=torch.Generator().manual_seed(0))
    points = sample_points(torch.zeros(1, 1, 8, 8), candidates, fresh, 30)
    assert torch.equal(points[:, :30], candidates[:, :30])


def test_values_are_read_between_pixel_centres():
    values = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    points = torch.tensor([[[0.25, 0.25], [0.75, 0.25], [0.5, 0.5], [0.5, 0.75], [0.0, 0.25], [0.0, 0.0]]])
    torch.testing.assert_close(sample_values(values, points), torch.tensor([[1.0, 2.0, 2.5, 3.5, 0.5, 0.25]]))


def test_perfect_logits_cost_next_to_nothing_and_wrong_ones_much():
    masks = torch.zeros(2, 1, 512, 512)
    masks[0, :, 100:400, 80:350] = 1
    logits = (masks * 2 - 1) * 20
    loss = PointSampledMaskLoss(num_points=4000, importance_ratio=0.0)
    good, bad = loss(logits, masks, [1, 2]), loss(-logits, masks, [1, 2])
    assert good["bce"] < 0.02
    assert loss(logits[:1], masks[:1], [1])["dice"] < 0.01
    assert bad["bce"] > 15
    assert bad["dice"] > 0.9


def test_gradient_reaches_only_the_pixels_under_the_points():
    logits, masks, seeds = make_inputs(count=1)
    logits.requires_grad_()
    masks.requires_grad_()
    PointSampledMaskLoss(num_points=12)(logits, masks, seeds)["loss"].backward()
    points = reference_points(logits[0, 0], seeds[0], 36, 9, 3)
    touched = np.zeros(logits.shape[2:], bool)
    for x, y in points * [24, 18] - 0.5:
        rows, columns = (int(np.floor(v)) + np.arange(2) for v in (y, x))
        touched[np.ix_(rows[(rows >= 0) & (rows < 18)], columns[(columns >= 0) & (columns < 24)])] = True
    assert masks.grad is None
    np.testing.assert_array_equal(logits.grad[0, 0].numpy() != 0, touched)


def test_gradient_equals_differences_of_the_second_implementation():
    logits, masks, seeds = make_inputs(count=2)
    logits.requires_grad_()
    PointSampledMaskLoss(num_points=60, importance_ratio=0.0)(logits, masks, seeds)["loss"].backward()
    direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ends = [
        sum(reference_loss(logits.detach().double() + step * direction, masks, seeds, (180, 0, 60)).values())
        for step in (1e-4, -1e-4)
    ]
    expected = (ends[0] - ends[1]) / 2e-4
    assert (logits.grad.double() * direction).sum().item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_computes_in_float32(dtype: torch.dtype):
    logits, masks, seeds = make_inputs()
    loss = PointSampledMaskLoss(num_points=50)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = loss(logits.to(dtype), masks.to(dtype), seeds)
    expected = loss(logits.to(dtype).float(), masks.to(dtype).float(), seeds)
    assert all(value.dtype == torch.float32 and value.shape == () for value in result.values())
    assert all(torch.equal(result[key], expected[key]) for key in ("loss", "bce", "dice"))


@pytest.mark.parametrize("scale", [0.0, 1e4, 1e30])
def test_finite_for_extreme_logits(scale: float):
    logits, masks, seeds = make_inputs()
    logits = (logits * scale).requires_grad_()
    result = PointSampledMaskLoss(num_points=50)(logits, masks, seeds)
    result["loss"].backward()
    assert all(value.isfinite() for value in result.values())
    assert logits.grad.isfinite().all()


def test_no_masks_cost_nothing():
    logits = torch.zeros(0, 1, 8, 8, requires_grad=True)
    result = PointSampledMaskLoss(num_points=10)(logits, torch.zeros(0, 1, 32, 32), [])
    result["loss"].backward()
    assert {key: value.item() for key, value in result.items()} == {"loss": 0, "bce": 0, "dice": 0}
    assert logits.grad.shape == logits.shape


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_points", 0),
        ("num_points", 10.5),
        ("num_points", True),
        ("bce_weight", 1e38),
        ("importance_ratio", None),
        ("oversample_ratio", 0.9),
        ("oversample_ratio", float("nan")),
        ("oversample_ratio", "three"),
        ("importance_ratio", -0.1),
        ("importance_ratio", 1.1),
        ("bce_weight", -1.0),
        ("dice_weight", float("inf")),
    ],
)
def test_values_out_of_range_name_their_key(key: str, value: object):
    with pytest.raises(ConfigError, match=rf"^loss\.{key}: expected .*; got {re.escape(repr(value))}$"):
        PointSampledMaskLoss(**{key: value})


def test_weights_cannot_both_be_zero():
    with pytest.raises(
        ConfigError, match=r"loss.bce_weight, loss.dice_weight: expected at least one above 0, got 0 for both"
    ):
        PointSampledMaskLoss(bce_weight=0, dice_weight=0)


def test_wrong_inputs_are_named():
    logits, masks, seeds = make_inputs()
    loss = PointSampledMaskLoss(num_points=10)
    with pytest.raises(ValueError, match=r"expected logits of shape \(N, 1, height, width\), got \(3, 18, 24\)"):
        loss(logits[:, 0], masks, seeds)
    with pytest.raises(ValueError, match=r"expected masks of shape \(N, 1, height, width\), got \(3, 2, 72, 96\)"):
        loss(logits, masks.expand(-1, 2, -1, -1), seeds)
    with pytest.raises(ValueError, match=r"as many masks and seeds as logits \(3\), got 2 masks, 1 seeds"):
        loss(logits, masks[:2], seeds[:1])


# --- ignored pixels --------------------------------------------------------------------------------------------------


def make_ignore(count: int = 3, seed: int = 5) -> torch.Tensor:
    """(count, 1, 72, 96) bool: random blobs, about a third of the pixels; the first mask ignores nothing."""
    noise = np.random.default_rng(seed).standard_normal((count, 72, 96))
    ignore = np.stack([ndimage.gaussian_filter(each, 3.0) for each in noise]) > 0.04
    ignore[0] = False
    return torch.from_numpy(ignore[:, None])


def reference_loss_with_ignore(logits, masks, ignore, seed, counts) -> dict[str, float]:
    """One mask in float64: points whose label reads any ignored pixel come last, and count for nothing."""
    oversampled, important, fresh = counts
    drawn = torch.rand(oversampled + fresh, 2, generator=torch.Generator().manual_seed(seed)).double().numpy()
    doubt = np.abs(read_map(logits, drawn[:oversampled]))
    doubt[read_map(ignore.float(), drawn[:oversampled]) > 0] = np.inf
    points = np.concatenate([drawn[np.argsort(doubt, kind="stable")[:important]], drawn[oversampled:]])
    points = points[read_map(ignore.float(), points) == 0]
    if not len(points):
        return {"bce": 0.0, "dice": 0.0}
    x, y = read_map(logits, points), read_map(masks, points)
    p = 1 / (1 + np.exp(-x))
    bce = np.mean(-y * np.log(p) - (1 - y) * np.log(1 - p))
    return {"bce": float(bce), "dice": float(1 - (2 * np.sum(p * y) + 1) / (np.sum(p) + np.sum(y) + 1))}


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({"num_points": 400}, (1200, 300, 100)),
        ({"num_points": 100, "importance_ratio": 0.0}, (300, 0, 100)),
        ({"num_points": 100, "oversample_ratio": 1.0, "importance_ratio": 1.0}, (100, 100, 0)),
    ],
)
def test_ignored_points_equal_a_plain_second_implementation(settings: dict, counts: tuple[int, int, int]):
    logits, masks, seeds = make_inputs()
    ignore = make_ignore()
    for row in range(3):
        expected = reference_loss_with_ignore(logits[row, 0], masks[row, 0], ignore[row, 0], seeds[row], counts)
        one_hot = torch.nn.functional.one_hot(torch.tensor(row), 3).float()
        made = PointSampledMaskLoss(**settings)(logits, masks, seeds, one_hot, ignore)
        assert made["bce"].item() == pytest.approx(expected["bce"], rel=1e-4)
        assert made["dice"].item() == pytest.approx(expected["dice"], rel=1e-4)


@pytest.mark.parametrize("num_points", [37, 400])
def test_a_mask_that_ignores_nothing_loses_the_same_to_the_last_bit(num_points: int):
    logits, masks, seeds = make_inputs()
    loss, first = PointSampledMaskLoss(num_points), torch.tensor([1.0, 0.0, 0.0])
    made = []
    for ignore in (None, make_ignore()):
        leaf = logits.clone().requires_grad_()
        terms = loss(leaf, masks, seeds, first, ignore)
        terms["loss"].backward()
        made.append([*terms.values(), leaf.grad[0]])
    assert all(torch.equal(one, other) for one, other in zip(*made, strict=True))


def test_neither_loss_nor_gradient_depends_on_what_ignored_pixels_hold():
    logits, masks, seeds = make_inputs()
    ignore = make_ignore()
    other = torch.where(ignore, 1 - masks, masks)
    loss = PointSampledMaskLoss(num_points=300)
    assert not torch.equal(loss(logits, masks, seeds)["loss"], loss(logits, other, seeds)["loss"])
    assert torch.equal(
        loss(logits, masks, seeds, ignore=ignore)["loss"], loss(logits, other, seeds, ignore=ignore)["loss"]
    )


def test_logits_under_ignored_pixels_alone_get_no_gradient():
    logits, masks, seeds = make_inputs()
    ignore = torch.zeros(3, 1, 72, 96, dtype=torch.bool)
    ignore[..., 40:] = True
    logits.requires_grad_()
    PointSampledMaskLoss(num_points=500)(logits, masks, seeds, ignore=ignore)["loss"].backward()
    # a quarter of the labels' width; a point reads one logit further to the right
    assert (logits.grad[..., 11:] == 0).all()
    assert (logits.grad[..., :10] != 0).any()


def test_a_mask_of_ignored_pixels_alone_adds_nothing():
    logits, masks, seeds = make_inputs()
    ignore = torch.zeros(3, 1, 72, 96, dtype=torch.bool)
    ignore[1] = True
    logits.requires_grad_()
    loss = PointSampledMaskLoss(num_points=64)
    terms = loss(logits, masks, seeds, ignore=ignore)
    terms["loss"].backward()
    assert (logits.grad[1] == 0).all()
    others = [loss(logits[[row]], masks[[row]], [seeds[row]])["loss"] for row in (0, 2)]
    torch.testing.assert_close(terms["loss"], sum(others) / 3)
    alone = loss(logits[[1]], masks[[1]], seeds[1:2], ignore=ignore[[1]])
    assert [value.item() for value in alone.values()] == [0, 0, 0]
