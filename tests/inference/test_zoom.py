"""Zoom: a mask is the predictor's of the part of the photo around its box, put back where it was."""

import numpy as np
import pytest

from hqsam_lightning import cuts
from hqsam_lightning.errors import PromptError
from hqsam_lightning.inference import HQSam, SamPredictor
from hqsam_lightning.inference.objects import ObjectPrompt
from hqsam_lightning.inference.zoom import ZoomPredictor
from hqsam_lightning.sam import FrozenSam

SIZE = (150, 230)
PHOTO = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def small_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuts, "LEAST_SIDE", 4)


def by_hand(model: HQSam, part: tuple[int, int, int, int], **prompt: np.ndarray) -> np.ndarray:
    """(H0, W0) mask of a prompt in pixels of a part, whose corners are given."""
    left, top, right, bottom = part
    predictor = SamPredictor(model)
    predictor.set_image(PHOTO[top:bottom, left:right])
    whole = np.zeros(SIZE, bool)
    whole[top:bottom, left:right] = predictor.predict(**prompt, multimask_output=False)[0][0]
    return whole


def test_masks_are_those_of_the_predictor_on_the_part(tiny_sam: FrozenSam) -> None:
    """Of three boxes, one at the edge of the photo and one with points beside it, two at a time."""
    model = HQSam(tiny_sam)
    points = ((90.0, 70.0, 1), (130.0, 20.0, 0), (220.0, 140.0, 0), (137.0, 60.0, 1))
    prompts = [
        ObjectPrompt((10.0, 20.0, 50.0, 60.0)),
        ObjectPrompt((180.0, 100.0, 230.0, 150.0)),
        ObjectPrompt((80.0, 10.0, 130.0, 90.0), points),
    ]
    found = [each.whole(SIZE) for each in ZoomPredictor(model, 0.1, batch_size=2).predict(PHOTO, prompts)]
    expected = [
        by_hand(model, (6, 16, 55, 65), box=np.array([4, 4, 44, 44])),
        by_hand(model, (175, 95, 230, 150), box=np.array([5, 5, 55, 55])),
        # the last point is beyond the box and on the object
        by_hand(
            model,
            (74, 2, 143, 99),
            box=np.array([6, 8, 56, 88]),
            point_coords=np.array([[16, 68], [56, 18], [63, 58]]),
            point_labels=np.array([1, 0, 1]),
        ),
    ]
    assert any(mask.any() for mask in expected)
    for mask, other in zip(found, expected, strict=True):
        assert (mask != other).mean() < 0.002


def test_a_coarse_mask_is_cut_as_the_photo_is(tiny_sam: FrozenSam) -> None:
    coarse = np.zeros(SIZE, np.float32)
    coarse[40:80, 60:121] = 1
    (found,) = ZoomPredictor(HQSam(tiny_sam), 0.5).predict(PHOTO, [ObjectPrompt(mask=coarse)])
    assert (found.left, found.top, *found.mask.shape) == (30, 20, 79, 121)
    part = ObjectPrompt(mask=coarse).within(cuts.Cut(30, 20, 121, 79)).mask
    assert part is not None
    assert np.array_equal(np.argwhere(part)[[0, -1]], [[20, 30], [59, 90]])


def test_points_alone_are_refused(tiny_sam: FrozenSam) -> None:
    prompt = ObjectPrompt(points=((5.0, 5.0, 1),))
    with pytest.raises(PromptError, match=r"^frame: expected photo where an object is shown by points alone"):
        next(ZoomPredictor(HQSam(tiny_sam)).predict(PHOTO, [prompt]))
