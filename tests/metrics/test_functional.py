import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_cdt

from blobs import blobs
from hqsam_lightning.metrics import boundary_f, boundary_iou, mask_boundary, mask_iou

SIZES = [(37, 120), (301, 400), (64, 64), (1, 9), (2, 2)]


def reference_boundary(mask: np.ndarray, dilation_ratio: float) -> np.ndarray:
    """The definition of the boundary IoU paper's code, with its 3 x 3 erosions one after the other."""
    height, width = mask.shape
    iterations = max(1, int(round(dilation_ratio * np.sqrt(height**2 + width**2))))  # noqa: RUF046
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=iterations)[1:-1, 1:-1]
    return mask & (eroded == 0)


def reference_iou(pred: np.ndarray, target: np.ndarray) -> float:
    union = np.logical_or(pred, target).sum()
    return np.logical_and(pred, target).sum() / union if union else 1.0


@pytest.mark.parametrize("ratio", [0.02, 0.01])
@pytest.mark.parametrize("size", SIZES)
def test_boundary_is_the_plain_definition(size: tuple[int, int], ratio: float):
    masks = blobs(*size, seed=1)
    expected = np.stack([reference_boundary(m, ratio) for m in masks.numpy()])
    np.testing.assert_array_equal(mask_boundary(masks, ratio).numpy(), expected)


@pytest.mark.parametrize("radius", range(1, 20))
def test_boundary_at_every_small_radius(radius: int):
    masks = blobs(30, 40, seed=radius)
    expected = np.stack([reference_boundary(m, radius / 50) for m in masks.numpy()])
    np.testing.assert_array_equal(mask_boundary(masks, radius / 50).numpy(), expected)


@pytest.mark.parametrize("radius", [1, 30, 31, 32, 33, 63, 64, 65])
@pytest.mark.parametrize("width", [63, 64, 65, 127, 129, 191, 192, 200])
def test_boundary_across_words_of_64_pixels(width: int, radius: int):
    rng = np.random.default_rng(width + radius)
    sparse = rng.random((3, 151, width)) > 0.0005  # holes a few radii apart
    thin = np.zeros((2, 151, width), bool)
    thin[0, 70], thin[1, :, width // 2 : width // 2 + 3] = True, True
    masks = torch.from_numpy(np.concatenate([sparse, thin, np.ones((1, 151, width), bool)]))
    ratio = radius / np.hypot(151, width)
    expected = np.stack([reference_boundary(m, ratio) for m in masks.numpy()])
    np.testing.assert_array_equal(mask_boundary(masks, ratio).numpy(), expected)


def test_boundary_of_a_box_against_the_frame():
    mask = torch.zeros(1, 60, 80, dtype=torch.bool)
    mask[0, :30, :40] = True
    inner = torch.zeros_like(mask)
    inner[0, 2:28, 2:38] = True
    assert torch.equal(mask_boundary(mask), mask & ~inner)


def test_half_pixels_round_to_even_as_in_the_reference():
    mask = torch.ones(1, 30, 40, dtype=torch.bool)
    assert mask_boundary(mask, 0.05)[0, 15].sum() == 4  # 2.5 pixels -> 2
    assert mask_boundary(mask, 0.07)[0, 15].sum() == 8  # 3.5 pixels -> 4


@pytest.mark.parametrize("ratio", [0.02, 0.01])
@pytest.mark.parametrize("size", SIZES)
def test_ious_are_the_plain_definitions(size: tuple[int, int], ratio: float):
    pred, target = blobs(*size, seed=2), blobs(*size, seed=3).roll(1, 0)
    pairs = list(zip(pred.numpy(), target.numpy(), strict=True))
    edges = [(reference_boundary(p, ratio), reference_boundary(t, ratio)) for p, t in pairs]
    np.testing.assert_array_equal(mask_iou(pred, target).numpy(), [reference_iou(*pair) for pair in pairs])
    found = boundary_iou(pred, target, dilation_ratio=ratio)
    np.testing.assert_array_equal(found.numpy(), [reference_iou(*pair) for pair in edges])


@pytest.mark.parametrize("iou", [mask_iou, boundary_iou])
@pytest.mark.parametrize("width", [63, 64, 128])
def test_masks_may_lie_column_by_column_in_memory(width: int, iou):
    pred, target = blobs(40, width, seed=6), blobs(40, width, seed=7)
    columns = torch.from_numpy(np.asfortranarray(pred.numpy()))  # as COCO's mask API decodes them
    assert torch.equal(iou(columns, target.mT.contiguous().mT), iou(pred, target))


@pytest.mark.parametrize("iou", [mask_iou, boundary_iou])
def test_empty_masks(iou):
    masks = torch.zeros(4, 12, 15, dtype=torch.bool)
    pred, target = masks.clone(), masks.clone()
    pred[1, 4, 4] = target[2, 0, 0] = True
    pred[3, 2:5], target[3, 2:5] = True, True
    result = iou(pred, target)
    assert result.dtype == torch.float64
    assert result.tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("iou", [mask_iou, boundary_iou])
def test_no_masks(iou):
    none = torch.zeros(0, 12, 15, dtype=torch.bool)
    assert iou(none, none).shape == (0,)


@pytest.mark.parametrize("iou", [mask_iou, boundary_iou])
def test_arguments_are_kept_as_they_were(iou):
    pred, target = blobs(20, 30, seed=4), blobs(20, 30, seed=5)
    before = pred.clone(), target.clone()
    iou(pred, target)
    assert torch.equal(pred, before[0])
    assert torch.equal(target, before[1])


@pytest.mark.parametrize("iou", [mask_iou, boundary_iou])
def test_wrong_inputs_are_named(iou):
    good = torch.zeros(2, 5, 6, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"expected pred as an \(N, H, W\) bool tensor, got .*torch.float32"):
        iou(good.float(), good)
    with pytest.raises(ValueError, match=r"expected target as an \(N, H, W\) bool tensor, got shape \(5, 6\)"):
        iou(good, good[0])
    with pytest.raises(ValueError, match=r"expected pred and target of one shape, got \(2, 5, 6\) .*\(3, 5, 6\)"):
        iou(good, torch.zeros(3, 5, 6, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"expected pred and target of one shape, got \(2, 5, 6\) .*\(1, 6, 5\)"):
        iou(good, good[:1].mT)


def test_wrong_mask_of_a_boundary_is_named():
    with pytest.raises(ValueError, match=r"expected mask as an \(N, H, W\) bool tensor, got shape \(1, 1, 5, 6\)"):
        mask_boundary(torch.zeros(1, 1, 5, 6, dtype=torch.bool))


@pytest.mark.parametrize("ratio", [0.0, -0.02, float("nan"), float("inf")])
def test_wrong_ratio_is_named(ratio: float):
    with pytest.raises(ValueError, match=r"dilation_ratio: expected a number in \(0, 0\.5\]; got "):
        mask_boundary(torch.zeros(1, 5, 6, dtype=torch.bool), ratio)


# --- ignored pixels --------------------------------------------------------------------------------------------------


def reference_boundary_with_ignore(mask: np.ndarray, ignore: np.ndarray, dilation_ratio: float) -> np.ndarray:
    """By scipy's chessboard distances to the background that is known, which lies around the frame too."""
    radius = max(1, round(dilation_ratio * np.hypot(*mask.shape)))
    background = np.pad(~mask & ~ignore, 1, constant_values=True)
    distance = distance_transform_cdt(~background, metric="chessboard")[1:-1, 1:-1]
    return mask & ~ignore & (distance <= radius)


@pytest.mark.parametrize("ratio", [0.02, 0.01, 0.2])
@pytest.mark.parametrize("size", [(37, 120), (301, 400), (64, 65), (9, 9)])
def test_ious_outside_the_ignored_pixels_are_the_plain_definitions(size: tuple[int, int], ratio: float):
    pred, target, ignore = (blobs(*size, seed=seed) for seed in (1, 2, 3))
    ignore = ignore.roll(2, 0) & blobs(*size, seed=4)
    for one, other, hidden, iou, biou in zip(
        pred.numpy(),
        target.numpy(),
        ignore.numpy(),
        mask_iou(pred, target, ignore).tolist(),
        boundary_iou(pred, target, ignore, ratio).tolist(),
        strict=True,
    ):
        assert iou == pytest.approx(reference_iou(one & ~hidden, other & ~hidden))
        boundaries = [reference_boundary_with_ignore(mask, hidden, ratio) for mask in (one, other)]
        assert biou == pytest.approx(reference_iou(*boundaries))
    expected = [reference_boundary_with_ignore(m, i, ratio) for m, i in zip(pred.numpy(), ignore.numpy(), strict=True)]
    np.testing.assert_array_equal(mask_boundary(pred, ratio, ignore).numpy(), np.stack(expected))


@pytest.mark.parametrize("iou", [mask_iou, boundary_iou])
def test_what_ignored_pixels_hold_does_not_matter(iou):
    pred, target, ignore, noise = (blobs(50, 70, seed=seed) for seed in range(4))
    other = [torch.where(ignore, noise, mask) for mask in (pred, target)]
    assert torch.equal(iou(pred, target, ignore=ignore), iou(*other, ignore=ignore))
    assert not torch.equal(iou(pred, target), iou(*other))
    assert torch.equal(iou(pred, target), iou(pred, target, ignore=torch.zeros_like(ignore)))


def test_an_ignored_region_makes_no_boundary():
    mask = torch.zeros(1, 60, 60, dtype=torch.bool)
    mask[:, 10:50, 10:50] = True
    ignore = torch.zeros_like(mask)
    ignore[:, 25:35, 25:35] = True
    assert torch.equal(mask_boundary(mask, 0.02, ignore), mask_boundary(mask, 0.02))
    assert not torch.equal(mask_boundary(mask & ~ignore, 0.02), mask_boundary(mask, 0.02))


def test_nothing_left_to_score_is_right():
    mask, everything = blobs(20, 30, seed=0), torch.ones(6, 20, 30, dtype=torch.bool)
    assert mask_iou(mask, ~mask, everything).tolist() == [1] * 6
    assert boundary_iou(mask, ~mask, ignore=everything).tolist() == [1] * 6


@pytest.mark.parametrize("iou", [mask_iou, boundary_iou])
def test_wrong_ignored_pixels_are_named(iou):
    masks = blobs(5, 6, seed=0)
    with pytest.raises(ValueError, match=r"expected ignore as an .* bool tensor"):
        iou(masks, masks, ignore=masks.float())
    with pytest.raises(ValueError, match=r"expected ignore of the masks' shape \(6, 5, 6\), got \(2, 5, 6\)"):
        iou(masks, masks, ignore=masks[:2])


@pytest.mark.parametrize("metric", [mask_iou, boundary_iou, boundary_f])
def test_one_target_and_its_ignored_pixels_are_those_of_all_predictions(metric):
    pred, target, ignore = blobs(50, 70, seed=0), blobs(50, 70, seed=1)[:1], blobs(50, 70, seed=2)[:1]
    one_by_one = torch.cat([metric(mask[None], target, ignore) for mask in pred])
    assert torch.equal(metric(pred, target, ignore), one_by_one)
