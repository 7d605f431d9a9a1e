"""Thinness against scipy's opening, on shapes whose answer is known, on procedural objects and on photos."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage

from hqsam_lightning.shapes import is_thin, opened, thinness


def disc(radius: int, size: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size // 2
    return x * x + y * y <= radius * radius


@pytest.mark.parametrize("radius", [1, 2, 3, 5, 7, 13])
@pytest.mark.parametrize("roughness", [1.0, 3.0, 6.0])
def test_opening_is_scipys(radius: int, roughness: float) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(radius).standard_normal((60, 93)), roughness)
    mask = noise > 0
    element = disc(radius, 2 * radius + 1)
    around = radius + 1
    expected = ndimage.binary_opening(np.pad(mask, around), element)[around:-around, around:-around]
    np.testing.assert_array_equal(opened(mask, radius), expected)


@pytest.mark.parametrize("size", [(256, 256), (300, 400), (64, 1000)])
def test_the_radius_follows_the_photos_diagonal(size: tuple[int, int]) -> None:
    mask = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(size), 5) > 0
    radius = round(0.02 * np.hypot(*size))
    rest = ndimage.binary_opening(np.pad(mask, radius + 1), disc(radius, 2 * radius + 1))
    assert thinness(mask) == pytest.approx(1 - rest.sum() / mask.sum(), abs=1e-12)


def test_lines_are_thin_and_discs_are_solid() -> None:
    line = np.zeros((256, 256), bool)
    line[100] = True
    assert thinness(line) == 1.0
    assert thinness(disc(60, 256)) < 0.01
    assert thinness(np.ones((256, 256), bool)) < 0.01, "an object may fill the frame"


def test_hairs_on_a_disc_count_by_their_area() -> None:
    body = disc(60, 256)
    hairs = np.zeros_like(body)
    hairs[10:246, 20:236:12] = True
    hairs &= ~body
    assert thinness(body | hairs) == pytest.approx(hairs.sum() / (body | hairs).sum(), abs=0.01)


def test_a_bar_turns_thin_below_the_discs_width() -> None:
    """At 256 px the disc is 7 px in radius, 15 px wide."""
    for width, thin in ((14, True), (15, False)):
        bar = np.zeros((256, 256), bool)
        bar[30:230, 100 : 100 + width] = True
        assert is_thin(thinness(bar)) == thin


def test_thinness_does_not_depend_on_the_place() -> None:
    mask = np.zeros((200, 200), bool)
    mask[5:60, 8:30] = disc(40, 60)[:55, 20:42]
    assert thinness(mask) == thinness(np.roll(mask, (90, 110), (0, 1)))


def test_an_empty_mask_is_not_thin() -> None:
    assert thinness(np.zeros((9, 9), bool)) == 0.0


@pytest.mark.parametrize("mask", [np.zeros((2, 9, 9), bool), np.zeros((9, 9))])
def test_other_arrays_are_refused(mask: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected mask as an \(H, W\) bool array, got shape"):
        thinness(mask)


@pytest.mark.parametrize(
    ("family", "thin"),
    [
        *((name, True) for name in ("wheel", "tree", "comb", "net", "ladder", "creature")),
        *((name, False) for name in ("blob", "polygon")),
    ],
)
def test_families_fall_on_the_side_that_their_names_say(family: str, thin: bool) -> None:
    from hqsam_lightning.data.scenes.drawing import draw_object
    from hqsam_lightning.data.scenes.families import FAMILIES

    drawn = [draw_object(np.random.default_rng(seed), 256, 0.6, FAMILIES[family]) for seed in range(10)]
    sides = [is_thin(thinness(each.alpha[..., 0] > 128 / 255)) for each in drawn]
    assert np.mean(sides) >= 0.9 if thin else not any(sides)


def test_real_photos(shared_data: Path) -> None:
    """A grasshopper with long antennae is thin, a turtle is not; a cyclist on a bicycle is."""
    ecssd = shared_data / "hqseg44k" / "cascade_psp" / "ecssd"
    cyclist = shared_data / "davis" / "Annotations" / "480p" / "bmx-trees" / "00000.png"
    for path, thin in ((ecssd / "0845.png", True), (ecssd / "0825.png", False), (cyclist, True)):
        assert is_thin(thinness(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0)) == thin, path
