"""Masks are those of the predictors; the encoder runs once per photo that is kept."""

import numpy as np
import pytest
from torch import Tensor, nn

from conftest import randomise
from hqsam_lightning.errors import PromptError
from hqsam_lightning.heads import AdapterHead, HQHead
from hqsam_lightning.inference import HQSam, SamPredictor
from hqsam_lightning.inference.tiles import BACKGROUND
from hqsam_lightning.interactive import Box, Click, Photo, Segmenter, Session
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.types import SamFeatures


def photo(seed: int = 0, size: tuple[int, int] = (40, 56)) -> Photo:
    return Photo(f"noise {seed}", np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


@pytest.fixture
def model(tiny_sam: FrozenSam) -> HQSam:
    return HQSam(tiny_sam, HQHead(tiny_sam, seed=1))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of images of each call of the encoder."""
    calls: list[int] = []
    encode = FrozenSam.encode_with

    def count(self: FrozenSam, encoder: nn.Module, images: Tensor) -> SamFeatures:
        calls.append(len(images))
        return encode(self, encoder, images)

    monkeypatch.setattr(FrozenSam, "encode_with", count)
    return calls


@pytest.mark.parametrize(
    "prompts",
    [
        (Click(0.5, 0.25), Click(0.1, 0.9, is_object=False)),
        (Box(0.1, 0.2, 0.7, 0.9),),
        (Click(0.3, 0.3), Box(0, 0, 0.5, 0.5), Box(0.1, 0.2, 0.7, 0.9)),
    ],
    ids=["clicks", "box", "click and last box"],
)
def test_masks_are_those_of_the_predictors(model: HQSam, prompts: tuple[Click | Box, ...]) -> None:
    session = Session(photo(), prompts)
    found = Segmenter(model, capacity=1).segment(session)
    clicks = [prompt for prompt in prompts if isinstance(prompt, Click)]
    scale = np.array([56, 40])
    given = {
        "point_coords": np.array([(click.x, click.y) for click in clicks]) * scale if clicks else None,
        "point_labels": np.array([int(click.is_object) for click in clicks]) if clicks else None,
        "box": np.array([0.1, 0.2, 0.7, 0.9]) * [*scale, *scale] if len(clicks) < 2 else None,
    }
    assert list(found) == ["SAM", "HQ-SAM"]
    for name, each in (("SAM", model.plain()), ("HQ-SAM", model)):
        predictor = SamPredictor(each)
        predictor.set_image(session.require_photo().pixels)
        masks, _, _ = predictor.predict(**given, multimask_output=False, return_logits=True)
        assert np.allclose(found[name], masks[0], atol=1e-5)
    assert not np.allclose(found["SAM"], found["HQ-SAM"])


def test_a_box_is_shown_the_part_of_the_photo_around_it(model: HQSam, encoded: list[int]) -> None:
    """At the photo's size and at half of it; clicks alone see the whole photo, and every part is encoded once."""
    own, segmenter = photo(size=(160, 240)), Segmenter(model, capacity=4, margin=0.25)
    clicks = (Click(0.95, 0.95, is_object=False), Click(0.4, 0.4))
    boxed = Session(own, (*clicks, Box(0.25, 0.25, 0.5, 0.75)))
    found, small = segmenter.segment(boxed)["HQ-SAM"], segmenter.segment(boxed, (80, 120))["HQ-SAM"]
    assert encoded == [1]
    # the box is (60, 40) to (120, 120); the first click lies outside of its part
    predictor = SamPredictor(model)
    predictor.set_image(own.pixels[20:141, 45:136])
    points, box = np.array([[96 - 45, 64 - 20]]), np.array([15, 20, 75, 100])
    shown = {"point_coords": points, "point_labels": np.array([1]), "box": box}
    masks, _, _ = predictor.predict(**shown, multimask_output=False, return_logits=True)
    expected = np.full((160, 240), found.min(), np.float32)
    expected[20:141, 45:136] = masks[0]
    assert np.allclose(found, expected, atol=1e-4)
    assert found.min() == found[0, 0] == BACKGROUND
    assert ((small > 0) != (found[::2, ::2] > 0)).mean() < 0.05
    alone = Session(own, clicks)
    whole = Segmenter(model, capacity=1).segment(alone)["HQ-SAM"]
    assert np.array_equal(segmenter.segment(alone)["HQ-SAM"], whole)


def test_masks_of_another_size_show_the_same(model: HQSam) -> None:
    session = Session(photo(size=(160, 240)), (Box(0.2, 0.2, 0.8, 0.8),))
    segmenter = Segmenter(model, capacity=1)
    whole, small = segmenter.segment(session)["HQ-SAM"], segmenter.segment(session, (80, 120))["HQ-SAM"]
    assert (whole.shape, small.shape) == ((160, 240), (80, 120))
    assert np.mean((whole[::2, ::2] > 0) == (small > 0)) > 0.95


def test_a_photo_is_encoded_once_for_both_models(model: HQSam, encoded: list[int]) -> None:
    segmenter = Segmenter(model, capacity=2)
    session = Session(photo())
    for x in (0.1, 0.5, 0.9):
        session = session.add(Click(x, 0.5))
        segmenter.segment(session)
    # another session with the same photo
    segmenter.segment(Session(photo(), (Box(0, 0, 1, 1),)))
    assert encoded == [1]


def test_the_photos_used_last_are_kept(model: HQSam, encoded: list[int]) -> None:
    segmenter = Segmenter(model, capacity=2)
    first, second, third = (Session(photo(seed), (Click(0.5, 0.5),)) for seed in range(3))
    masks = segmenter.segment(first)
    for session in (second, first, third):
        segmenter.segment(session)
    assert len(encoded) == 3
    segmenter.segment(first)
    assert len(encoded) == 3, "used after the second"
    segmenter.segment(second)
    assert len(encoded) == 4
    again = segmenter.segment(first)
    assert all(np.array_equal(masks[name], again[name]) for name in masks)


def test_a_head_with_an_encoder_of_its_own_gets_its_own_features(tiny_sam: FrozenSam, encoded: list[int]) -> None:
    model = HQSam(tiny_sam, AdapterHead(tiny_sam, width=4))
    randomise(model.head, seed=1)
    session = Session(photo(), (Box(0.1, 0.2, 0.7, 0.9),))
    found = Segmenter(model, capacity=1).segment(session)
    assert encoded == [1, 1]
    predictor = SamPredictor(model)
    predictor.set_image(session.require_photo().pixels)
    masks, _, _ = predictor.predict(box=session.corners((40, 56)), multimask_output=False, return_logits=True)
    assert np.allclose(found["HQ-SAM"], masks[0], atol=1e-5)
    assert np.allclose(found["SAM"], Segmenter(model.plain(), capacity=1).segment(session)["SAM"], atol=1e-5)


def test_plain_sam_is_alone(tiny_sam: FrozenSam) -> None:
    segmenter = Segmenter(HQSam(tiny_sam), capacity=1)
    assert list(segmenter.segment(Session(photo(), (Click(0.5, 0.5),)))) == segmenter.names == ["SAM"]


@pytest.mark.parametrize(("session", "message"), [(Session(), "a photo first"), (Session(photo()), "a prompt first")])
def test_without_photo_or_prompt_there_is_no_mask(model: HQSam, session: Session, message: str) -> None:
    with pytest.raises(PromptError, match=f"expected {message}"):
        Segmenter(model, capacity=1).segment(session)
