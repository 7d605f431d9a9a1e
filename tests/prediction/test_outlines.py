"""Masks as COCO has them: run lengths are exact, and polygons without holes draw the mask again."""

import faster_coco_eval.core.mask as rle
import numpy as np
import pytest
from skimage.draw import disk

from hqsam_lightning.data.segmentations import encode
from hqsam_lightning.prediction.outlines import bounding_box, polygons

SHAPE = (40, 50)


def drawn(*parts: object) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    for part in parts:
        mask[part] = True
    return mask


MASKS = {
    "square": drawn(np.s_[5:20, 10:30]),
    "whole": drawn(np.s_[:, :]),
    "corner": drawn(np.s_[30:, 45:]),
    "two": drawn(np.s_[2:10, 2:10], np.s_[20:35, 12:40]),
    "disc": drawn(disk((20, 25), 15, shape=SHAPE)),
}


@pytest.mark.parametrize("name", MASKS)
def test_polygons_draw_the_mask_again(name: str) -> None:
    mask = MASKS[name]
    found = polygons(mask)
    assert len(found) == (2 if name == "two" else 1)
    merged = rle.decode(rle.merge(rle.frPyObjects(found, *SHAPE))).astype(bool)
    assert (merged & mask).sum() / (merged | mask).sum() > (0.97 if name == "disc" else 0.9999)
    x, y = np.concatenate([np.reshape(each, (-1, 2)) for each in found]).T
    assert min(x.min(), y.min()) >= 0
    assert (x.max() <= SHAPE[1], y.max() <= SHAPE[0]) == (True, True)


def test_a_hole_is_filled_in_polygons_and_kept_in_encode() -> None:
    mask = drawn(np.s_[5:25, 5:25])
    mask[10:15, 10:15] = False
    assert polygons(mask) == polygons(drawn(np.s_[5:25, 5:25]))
    assert np.array_equal(rle.decode(encode(mask)), mask)


def test_nothing_has_no_outline() -> None:
    empty = np.zeros(SHAPE, bool)
    assert (polygons(empty), bounding_box(empty)) == ([], [0, 0, 0, 0])
    assert not rle.decode(encode(empty)).any()
    assert bounding_box(MASKS["two"]) == [2, 2, 38, 33]
