import cv2
import numpy as np
import pytest
from scipy import ndimage

from hqsam_lightning.data.datasets import Scenes
from hqsam_lightning.data.scenes import coarsen


def disc(radius: float, centre: tuple[float, float] = (128, 128), size: int = 256) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return (np.hypot(x - centre[0], y - centre[1]) <= radius).astype(np.float32)


def wheel(spokes: int = 8) -> np.ndarray:
    canvas = np.zeros((256, 256), np.uint8)
    cv2.circle(canvas, (128, 128), 100, 1, 6)
    for angle in np.arange(spokes) * 2 * np.pi / spokes:
        cv2.line(canvas, (128, 128), (round(128 + 100 * np.cos(angle)), round(128 + 100 * np.sin(angle))), 1, 4)
    return canvas.astype(np.float32)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float(((one > 0.5) & (other > 0.5)).sum() / ((one > 0.5) | (other > 0.5)).sum())


def test_disc_stays():
    assert iou(coarsen(disc(60)), disc(60)) > 0.97


def test_wheel_becomes_its_disc():
    filled = ndimage.binary_fill_holes(wheel() > 0.5).astype(np.float32)
    assert iou(wheel(), filled) < 0.4
    assert iou(coarsen(wheel()), filled) > 0.95


def test_antennae_are_lost_and_the_body_stays():
    antenna = np.zeros((256, 256), np.uint8)
    cv2.line(antenna, (128, 128), (230, 40), 1, 3)
    coarse = coarsen(np.maximum(disc(50), antenna))
    assert coarse[:50, 215:].sum() == 0
    assert iou(coarse, disc(50)) > 0.9


def test_large_hole_stays_and_small_hole_is_filled():
    large = coarsen(disc(100) - disc(70))
    assert large[128, 128] == 0
    small = coarsen(disc(100) - disc(12))
    assert small[128, 128] == 1


def test_thin_line_is_not_lost():
    line = np.zeros((256, 256), np.uint8)
    cv2.line(line, (20, 20), (230, 240), 1, 3)
    coarse = coarsen(line.astype(np.float32))
    assert (coarse * line).sum() > 0.8 * line.sum()


def test_strength_zero_thresholds_and_more_strength_loses_more():
    mask = np.maximum(wheel(4), disc(40)) * 0.75
    assert np.array_equal(coarsen(mask, 0), mask > 128 / 255)
    kept = [iou(coarsen(mask, strength), mask) for strength in (0.25, 1, 2)]
    assert kept[0] > kept[1] >= kept[2]


@pytest.mark.parametrize("size", [64, 256, 384])
def test_coarse_scenes_share_the_photo_and_keep_every_object(size):
    fine, coarse = (Scenes(12, size, seed=9, masks=masks) for masks in ("fine", "coarse"))
    overlaps = []
    for a, b in zip(fine, coarse, strict=True):
        assert np.array_equal(a.image, b.image)
        assert a.masks.shape == b.masks.shape
        assert b.masks.dtype == np.float32
        assert set(np.unique(b.masks)) <= {0.0, 1.0}
        assert b.masks.any((1, 2)).all()
        overlaps += [iou(one, other) for one, other in zip(a.masks, b.masks, strict=True)]
    assert 0.5 < np.mean(overlaps) < 0.95


def test_coarseness_reaches_the_masks():
    far, near = (Scenes(8, 128, masks="coarse", coarseness=value) for value in (2.0, 0.0))
    for sample, coarse, thresholded in zip(Scenes(8, 128), far, near, strict=True):
        assert np.array_equal(thresholded.masks, sample.masks > 128 / 255)
        assert np.array_equal(coarse.masks, np.stack([coarsen(mask, 2.0) for mask in sample.masks]))


def test_coarse_mask_is_in_few_pieces():
    """Opening before closing would leave a scatter of dots."""
    made = Scenes(30, 256, seed=4, masks="coarse")
    pieces = [ndimage.label(mask > 0.5)[1] for sample in made for mask in sample.masks]
    assert np.mean(pieces) < 1.6
