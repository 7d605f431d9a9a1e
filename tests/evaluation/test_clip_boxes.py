"""Where boxes come from: what follows from predictions, and what does not."""

import numpy as np
import pytest

from hqsam_lightning.evaluation.clip_boxes import GivenBoxes, PropagatedBoxes, TrueBoxes, box_around, grown

ROW, OTHER = ("sam", "sam"), ("hq", "sum")


def square(x: int, y: int, side: int = 4) -> np.ndarray:
    mask = np.zeros((20, 30), bool)
    mask[y : y + side, x : x + side] = True
    return mask


EMPTY = np.zeros((20, 30), bool)


def test_a_box_has_inclusive_corners() -> None:
    assert box_around(square(3, 5)) == (3, 5, 6, 8)
    assert box_around(EMPTY) is None


@pytest.mark.parametrize(
    ("box", "expected"),
    [((10, 5, 13, 8), (8, 3, 15, 10)), ((0, 17, 3, 19), (0, 15.5, 5, 19)), ((28, 0, 29, 1), (27, 0, 29, 2))],
)
def test_a_box_grows_inside_the_frame(box: tuple[int, ...], expected: tuple[float, ...]) -> None:
    assert grown(box, 0.5, (20, 30)) == expected


def test_true_boxes_are_those_of_each_frame() -> None:
    assert TrueBoxes().at(3, np.stack([square(1, 2), EMPTY]), ROW) == [(1, 2, 4, 5), None]


def test_given_boxes() -> None:
    given = GivenBoxes(lambda frame: [(frame, 1, 9, 9), None])
    assert given.at(4, np.zeros((0, 20, 30), bool), ROW) == [(4, 1, 9, 9), None]


def test_boxes_follow_the_predictions_of_their_row() -> None:
    boxes, first = PropagatedBoxes(0.0), np.stack([square(1, 2)])
    for row in (ROW, OTHER):
        assert boxes.at(0, first, row) == [(1, 2, 4, 5)]
        # the true mask was shown: what was predicted in its frame moves nothing
        boxes.follow(row, np.stack([square(20, 10)]))
    later = np.stack([square(9, 9)])
    assert boxes.at(1, later, ROW) == [(1, 2, 4, 5)]
    boxes.follow(ROW, np.stack([square(6, 7)]))
    assert boxes.at(2, later, ROW) == [(6, 7, 9, 10)]
    assert boxes.at(1, later, OTHER) == [(1, 2, 4, 5)]


def test_the_last_box_stays_where_nothing_is_predicted() -> None:
    boxes = PropagatedBoxes(0.25)
    assert boxes.at(0, np.stack([square(10, 8)]), ROW) == [(10, 8, 13, 11)]
    boxes.follow(ROW, np.stack([square(10, 8)]))
    for frame in range(1, 4):
        # once grown, it does not grow on
        assert boxes.at(frame, np.stack([EMPTY]), ROW) == [(9, 7, 14, 12)]
        boxes.follow(ROW, np.stack([EMPTY]))


def test_an_object_that_appears_later_has_no_box_before() -> None:
    boxes = PropagatedBoxes(0.0)
    assert boxes.at(0, np.stack([square(1, 2), EMPTY]), ROW) == [(1, 2, 4, 5), None]
    boxes.follow(ROW, np.stack([square(1, 2), EMPTY]))
    assert boxes.at(1, np.stack([EMPTY, square(8, 8)]), ROW) == [(1, 2, 4, 5), (8, 8, 11, 11)]
    boxes.follow(ROW, np.stack([square(2, 2), square(15, 15)]))
    assert boxes.at(2, np.stack([EMPTY, EMPTY]), ROW) == [(2, 2, 5, 5), (8, 8, 11, 11)]
