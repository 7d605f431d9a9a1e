"""Masks in COCO's format: decoded as plain second implementations do; what cannot be decoded is described."""

import re
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw

from annotated_files import HEIGHT, LINE, NO_PIXEL, SQUARE, WIDTH, compressed, run_lengths, some_masks
from hqsam_lightning.data import segmentations
from hqsam_lightning.data.segmentations import decode, has_pixels, segmentation_problem

SIZE = (HEIGHT, WIDTH)


def odd_masks() -> list[np.ndarray]:
    """Masks whose run lengths are the special cases: from the first pixel on, full, of one pixel, of long runs."""
    full, first, last = (np.zeros(SIZE, bool) for _ in range(3))
    full[:] = True
    first[0, 0] = last[-1, -1] = True
    checks = np.indices(SIZE).sum(0) % 2 == 0
    return [full, first, last, checks, *some_masks(4), np.random.default_rng(1).random((301, 217)) > 0.5]


@pytest.mark.parametrize("form", [run_lengths, compressed])
@pytest.mark.parametrize("mask", odd_masks())
def test_run_lengths_are_sound_and_decode_to_the_mask(form, mask: np.ndarray) -> None:
    segmentation = form(mask)
    assert segmentation_problem(segmentation) is None
    assert has_pixels(segmentation, mask.shape)
    assert np.array_equal(decode(segmentation, mask.shape), mask)
    assert decode(segmentation, mask.shape).flags.c_contiguous


@pytest.mark.parametrize("form", [run_lengths, compressed])
def test_a_mask_without_a_pixel(form) -> None:
    segmentation = form(np.zeros(SIZE, bool))
    assert segmentation_problem(segmentation) is None
    assert not has_pixels(segmentation, SIZE)
    assert not decode(segmentation, SIZE).any()


def test_polygons_are_united() -> None:
    """Next to Pillow's rasteriser, which treats borders otherwise."""
    polygons = [SQUARE, [15.5, 10, 50.0, 10, 50, 35, 15.5, 30]]
    drawn = Image.new("1", (WIDTH, HEIGHT))
    for polygon in polygons:
        ImageDraw.Draw(drawn).polygon(polygon, fill=1)
    reference, mask = np.asarray(drawn), decode(polygons, SIZE)
    assert mask.shape == SIZE
    assert mask.flags.c_contiguous
    assert (reference & mask).sum() / (reference | mask).sum() > 0.9


@pytest.mark.parametrize("polygons", [[NO_PIXEL], [[-9, -9, -3, -9, -3, -3]], [[100, 100, 200, 100, 200, 200]]])
def test_polygons_without_a_pixel(polygons: list) -> None:
    assert segmentation_problem(polygons) is None
    assert not has_pixels(polygons, SIZE)
    assert has_pixels([*polygons, SQUARE], SIZE)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (3, "expected polygons or run lengths, got 3"),
        ([], r"expected polygons or run lengths, got \[\]"),
        (SQUARE, "expected a list of polygons .*, got 4 in it"),
        ([[SQUARE]], r"expected a polygon of numbers, got \[\[4, 4"),
        ([LINE], r"at least 6 numbers, two per corner; got \[4, 4, 20, 20\]"),
        ([[]], r"at least 6 numbers, two per corner; got \[\]"),
        ([SQUARE[:-1]], "at least 6 numbers, two per corner; got"),
        ([SQUARE, ["4"] * 8], "expected a polygon of numbers, got"),
        ([[True] * 8], "expected a polygon of numbers, got"),
        ([[*SQUARE[:-1], None]], "expected a polygon of numbers, got"),
        ([[*SQUARE[:-1], float("inf")]], "expected coordinates of .*, got 4 to inf"),
        ([[*SQUARE[:-1], -(10**400)]], "expected coordinates of .*, got -1000.* to 20"),
        ([[0, 0, 10**6, 10**6] * 100], "whose outline is at most 4194304 pixels long, got 2e"),
    ],
)
def test_polygons_that_cannot_be_filled(segmentation: object, message: str) -> None:
    assert re.search(message, segmentation_problem(segmentation) or "")


def test_a_long_polygon_of_short_edges_is_sound() -> None:
    around = np.linspace(0, 2 * np.pi, 20001)[:-1]
    circle = (300 + 200 * np.stack([np.cos(around), np.sin(around)], axis=1)).ravel().tolist()
    assert segmentation_problem([circle]) is None
    assert decode([circle], (600, 600)).sum() == pytest.approx(np.pi * 200**2, rel=0.02)


@pytest.mark.parametrize(
    ("size", "counts", "message"),
    [
        (None, [4], "a size .* got None"),
        ([2, 2.0], [4], "a size .* got"),
        ([True, 4], [4], "a size .* got"),
        ([4], [4], "a size .* got"),
        ([-2, -2], [4], "a size .* got"),
        ([10**9, 10**9], [10**18], r"at most 268435456 pixels, got \[1000000000, 1000000000\]"),
        ([2, 2], None, "expected counts as a list .* got None"),
        ([2, 2], [1, 3.0], "expected counts as a list"),
        ([2, 2], [1, "3"], "expected counts as a list"),
        ([2, 2], [5, -1], "expected counts as a list"),
        ([2, 2], [True, 3], "expected counts as a list"),
        ([2, 2], [], "expected counts as a list"),
        ([2, 2], [10**30, 1], "expected counts as a list"),
        ([2, 2], [1, 2], "add up to 4 pixels .* got 3"),
        ([2, 2], "", "expected counts as a list"),
        ([2, 2], "5", "add up to 4 pixels .* got 5"),
        ([2, 2], "d", "expected counts as a list"),
        ([2, 2], " 4", "expected counts as a list"),
        ([2, 2], "\u0664", "expected counts as a list"),
        ([2, 2], "ooooooooo0", "expected counts as a list"),
        ([2, 2], "O", "expected counts as a list"),
    ],
)
def test_run_lengths_that_cannot_be_decoded(size: object, counts: object, message: str) -> None:
    assert re.search(message, segmentation_problem({"size": size, "counts": counts}) or "")


def test_every_cut_of_a_compressed_mask_is_found() -> None:
    whole = compressed(some_masks(1)[0])
    cuts = [{**whole, "counts": whole["counts"][:end]} for end in range(len(whole["counts"]))]
    assert all(segmentation_problem(cut) for cut in cuts)


def test_compressed_runs_are_those_by_hand() -> None:
    for mask in odd_masks():
        runs = segmentations._runs(compressed(mask)["counts"])
        edges = np.flatnonzero(np.diff(mask.ravel(order="F"))) + 1
        expected = [end - start for start, end in pairwise([0, *edges, mask.size])]
        assert runs is not None
        assert runs.tolist() == ([0, *expected] if mask[0, 0] else expected)
