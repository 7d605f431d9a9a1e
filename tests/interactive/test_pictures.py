"""Pictures show what they say, and downloaded files hold the mask."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from hqsam_lightning.interactive import Box, Click, Photo, Session
from hqsam_lightning.interactive.pictures import (
    VIEWS,
    boundary,
    cut_out_png,
    data_url,
    difference,
    draw_prompts,
    mask_png,
    overlay,
)

GREY = np.full((60, 80, 3), 128, np.uint8)


def masks() -> dict[str, np.ndarray]:
    """A square, and one that is shifted to the right."""
    found = {name: np.zeros((60, 80), bool) for name in ("SAM", "HQ-SAM")}
    found["SAM"][10:40, 10:40] = True
    found["HQ-SAM"][10:40, 20:50] = True
    return found


def changed(picture: np.ndarray) -> np.ndarray:
    return (picture != GREY).any(axis=2)


def test_prompts_are_where_they_were_given() -> None:
    session = Session(Photo("grey", GREY), (Click(0.25, 0.5), Click(0.75, 0.5, is_object=False)))
    drawn = draw_prompts(GREY, session)
    added, subtracted = drawn[25:36, 15:26].reshape(-1, 3), drawn[25:36, 55:66].reshape(-1, 3)
    assert (added.astype(int) @ [-1, 1, 0]).max() > 50, "green"
    assert (subtracted.astype(int) @ [1, -1, 0]).max() > 50, "red"
    assert not changed(drawn)[:, 35:45].any()
    boxed = changed(draw_prompts(GREY, session.clear().add(Box(0.25, 0.25, 0.75, 0.75))))
    rows, columns = np.nonzero(boxed)
    assert (rows.min(), columns.min()) == (15, 20)
    assert (rows.max(), columns.max()) == (45, 60)
    assert not boxed[20:40, 25:55].any()
    assert not changed(GREY).any(), "the photo stays as it was"


def test_an_overlay_tints_each_mask_on_its_side() -> None:
    found = overlay(GREY, masks())
    assert found.label == "SAM | HQ-SAM"
    for picture, mask in zip((found.left, found.right), masks().values(), strict=True):
        assert len(np.unique(picture[mask], axis=0)) == len(np.unique(picture[~mask], axis=0)) == 1
        assert not np.array_equal(picture[mask][0], picture[~mask][0])


def test_a_boundary_is_a_line_on_the_photo() -> None:
    found = boundary(GREY, masks())
    line = changed(found.left)
    assert line[10, 10:40].all()
    assert line[10:40, 39].all()
    assert not line[15:35, 15:35].any()
    assert not line[:5].any()
    assert changed(found.right)[10:40, 49].all()


def test_a_difference_has_a_colour_for_each_side() -> None:
    found = difference(GREY, masks())
    assert found.legend == "orange: SAM alone, blue: HQ-SAM alone, grey: both"
    first, last, both = (found.right[20, x].astype(int) for x in (15, 45, 30))
    assert first[0] > first[2] + 50
    assert last[2] > last[0] + 50
    assert np.ptp(both) <= 1
    assert np.array_equal(found.left, GREY)


@pytest.mark.parametrize("view", ["overlay", "boundary"])
def test_a_single_mask_stands_beside_the_photo(view: str) -> None:
    found = VIEWS[view](GREY, {"SAM": masks()["SAM"]})
    assert found.label == "photo | SAM"
    assert np.array_equal(found.left, GREY)
    assert changed(found.right).any()


def test_files_hold_the_mask_and_a_soft_cut_out() -> None:
    logits = np.array([[-50.0, -1.0, 0.0], [0.5, 2.0, 1000.0]], np.float32)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 3), dtype=np.uint8)
    mask = np.asarray(Image.open(io.BytesIO(mask_png(logits))))
    assert mask.tolist() == [[0, 0, 0], [255, 255, 255]]
    cut = Image.open(io.BytesIO(cut_out_png(pixels, logits)))
    assert cut.mode == "RGBA"
    assert np.array_equal(np.asarray(cut)[..., :3], pixels)
    # 255 times the logistic function
    assert np.asarray(cut)[..., 3].tolist() == [[0, 69, 128], [159, 225, 255]]


def test_a_picture_fits_into_its_address() -> None:
    head, _, body = data_url(GREY).partition(",")
    assert head == "data:image/jpeg;base64"
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))
    assert np.abs(shown.astype(int) - GREY).max() <= 2
