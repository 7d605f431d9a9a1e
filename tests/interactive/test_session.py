"""What a person does: clicks, boxes, undo and clear, in fractions of the photo."""

import numpy as np
import pytest

from hqsam_lightning.errors import PromptError
from hqsam_lightning.interactive import Box, Click, Photo, Session
from hqsam_lightning.interactive.session import MOST_PROMPTS, as_prompt


@pytest.fixture
def session() -> Session:
    return Session(Photo("grey", np.zeros((20, 40, 3), np.uint8)))


def test_prompts_are_in_pixels_of_any_picture(session: Session) -> None:
    session = session.add(Click(0.25, 0.5)).add(Box(0.1, 0.2, 0.5, 1.0)).add(Click(1.0, 0.0, is_object=False))
    assert session.points((20, 40)).tolist() == [[10.0, 10.0], [40.0, 0.0]]
    assert session.points((200, 400)).tolist() == [[100.0, 100.0], [400.0, 0.0]]
    assert session.corners((20, 40)).tolist() == [4.0, 4.0, 20.0, 20.0]
    assert [click.is_object for click in session.clicks] == [True, False]


def test_a_new_box_replaces_the_old_one_until_it_is_undone(session: Session) -> None:
    first, second = Box(0, 0, 0.5, 0.5), Box(0.5, 0.5, 1, 1)
    session = session.add(first).add(Click(0.1, 0.1)).add(second)
    assert session.box == second
    assert session.undo().box == first
    assert session.undo().undo().prompts == (first,)
    assert session.clear().prompts == ()
    assert session.clear().photo is session.photo
    assert session.clear().undo().prompts == ()


def test_there_is_nothing_to_prompt_without_a_photo() -> None:
    with pytest.raises(PromptError, match="expected a photo first"):
        Session().add(Click(0, 0))
    assert Session().points((5, 5)).shape == (0, 2)
    assert Session().corners((5, 5)) is None


def test_the_number_of_prompts_is_bounded(session: Session) -> None:
    for _ in range(MOST_PROMPTS):
        session = session.add(Click(0.5, 0.5))
    with pytest.raises(PromptError, match="expected at most 100 clicks and boxes"):
        session.add(Click(0.5, 0.5))


def test_a_pointer_clicks_or_draws_a_box_in_any_direction() -> None:
    assert as_prompt([0.5, 0.25], [0.5, 0.25], subtracts=False) == Click(0.5, 0.25, is_object=True)
    assert as_prompt([0.5, 0.25], [0.5, 0.25], subtracts=True) == Click(0.5, 0.25, is_object=False)
    assert as_prompt([0.9, 0.1], [0.2, 1], subtracts=True) == Box(0.2, 0.1, 0.9, 1.0)


@pytest.mark.parametrize(
    "place",
    [
        None,
        "ab",
        [0.5],
        [0.5, 0.5, 0.5],
        [0.5, -0.1],
        [0.5, 1.1],
        [float("nan"), 0],
        ["0", "0"],
        {"x": 0},
        [True, 0],
        3,
    ],
)
def test_what_is_no_place_is_refused(place: object) -> None:
    for ends in ((place, [0.5, 0.5]), ([0.5, 0.5], place)):
        with pytest.raises(PromptError, match="expected a place on the photo, two numbers from 0 to 1"):
            as_prompt(*ends, subtracts=False)


def test_a_box_needs_an_area() -> None:
    with pytest.raises(PromptError, match="expected a box with an area"):
        as_prompt([0.1, 0.5], [0.9, 0.5], subtracts=False)
