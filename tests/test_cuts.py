"""Cuts are what is cut out by hand, inside of the photo, and come back to where they were."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from hqsam_lightning.cuts import LEAST_SIDE, Cut, cut_around

WIDTH, HEIGHT = 400, 300
PHOTO = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.mark.parametrize("margin", [0.0, 0.25, 1.5])
@pytest.mark.parametrize("box", [(100.0, 80.0, 220.0, 180.0), (0.0, 10.5, 90.25, 200.0), (250.0, 190.0, 399.0, 299.0)])
def test_a_cut_is_the_box_with_its_margin_as_far_as_the_photo_goes(
    box: tuple[float, float, float, float], margin: float
) -> None:
    x0, y0, x1, y1 = box
    across, down = margin * (x1 - x0), margin * (y1 - y0)
    corners = (
        *(max(0, math.floor(x0 - across)), max(0, math.floor(y0 - down))),
        *(min(WIDTH, math.floor(x1 + across) + 1), min(HEIGHT, math.floor(y1 + down) + 1)),
    )
    cut = cut_around(box, (HEIGHT, WIDTH), margin)
    np.testing.assert_array_equal(cut.of(PHOTO), np.asarray(Image.fromarray(PHOTO).crop(corners)))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((200.0, 150.0, 201.0, 151.0), Cut(169, 119, 64, 64)),
        # shifted at the edges
        ((0.0, 298.0, 2.0, 299.0), Cut(0, 236, 64, 64)),
        ((399.0, 100.0, 399.0, 259.0), Cut(336, 60, 64, 239)),
        # a box outside of the photo still shows a part of it
        ((500.0, -20.0, 520.0, -4.0), Cut(336, 0, 64, 64)),
    ],
)
def test_a_small_box_is_shown_with_some_of_what_is_around_it(
    box: tuple[float, float, float, float], expected: Cut
) -> None:
    assert cut_around(box, (HEIGHT, WIDTH), 0.25) == expected


def test_a_small_photo_is_shown_whole() -> None:
    assert cut_around((3.0, 4.0, 9.0, 8.0), (20, LEAST_SIDE), 0.25) == Cut(0, 0, LEAST_SIDE, 20)


def test_what_is_pasted_lies_where_it_was_cut_out() -> None:
    cut = Cut(30, 200, 50, 70)
    planes = torch.from_numpy(PHOTO).permute(2, 0, 1)
    values = torch.from_numpy(cut.of(PHOTO).copy()).permute(2, 0, 1)
    inside = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    inside[200:270, 30:80] = True
    assert torch.equal(cut.paste(values, (HEIGHT, WIDTH), 7), torch.where(inside, planes, 7).to(torch.uint8))
