"""Events of the page: what a browser says becomes a session and what is shown, or a message."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqsam_lightning.errors import ConfigError, DataError, PromptError
from hqsam_lightning.heads import HQHead
from hqsam_lightning.inference import HQSam
from hqsam_lightning.interactive import Photo, Segmenter, Session
from hqsam_lightning.interactive.actions import Actions, Limits
from hqsam_lightning.sam import FrozenSam


@pytest.fixture
def actions(tiny_sam: FrozenSam, tmp_path: Path) -> Actions:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    model = HQSam(tiny_sam, HQHead(tiny_sam, seed=1))
    return Actions(Segmenter(model, capacity=2), [Photo("first", pixels)], tmp_path, Limits(1, 1))


def test_a_person_goes_from_a_photo_to_a_mask_and_back(actions: Actions) -> None:
    empty = actions.show(Session(), "overlay")
    assert (empty.photo, empty.comparison) == (None, None)
    opened = actions.choose(0)
    shown = actions.show(opened, "overlay")
    assert np.array_equal(shown.photo, opened.photo.pixels)
    assert shown.comparison is None
    assert shown.status.startswith("**first**, 40 x 30 pixels. Click on the object")
    clicked = actions.prompt(opened, [0.5, 0.5], [0.5, 0.5], subtracts=False)
    masked = actions.show(clicked, "difference")
    assert not np.array_equal(masked.photo, shown.photo)
    assert masked.comparison.right.shape == (30, 40, 3)
    assert "IoU of SAM and HQ-SAM: " in masked.status
    assert masked.status.endswith("orange: SAM alone, blue: HQ-SAM alone, grey: both.")
    assert actions.logits_of(clicked).shape == (30, 40)
    assert actions.show(clicked.undo(), "difference").comparison is None


def test_an_upload_is_opened_within_the_limits(actions: Actions, tmp_path: Path) -> None:
    Image.new("RGB", (1000, 1000)).save(tmp_path / "a_*b*.png")
    shown = actions.show(actions.open(str(tmp_path / "a_*b*.png")), "overlay")
    assert shown.status.startswith(r"**a\_\*b\*.png**, 1000 x 1000 pixels")
    Image.new("RGB", (1000, 1001)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"at most 1000000 pixels, got 1000x1001 in b\.png"):
        actions.open(str(tmp_path / "b.png"))


@pytest.mark.parametrize("index", [-1, 1, None, "0", 0.0, True, [0]])
def test_an_example_that_is_none_is_refused(actions: Actions, index: object) -> None:
    with pytest.raises(PromptError, match="expected one of the 1 examples"):
        actions.choose(index)


@pytest.mark.parametrize(("size", "said"), [(2_500_000, "got 2.5 MB"), (None, "got more MB"), ("<b>", "got more MB")])
def test_a_file_that_was_not_uploaded_is_explained(actions: Actions, size: object, said: str) -> None:
    with pytest.raises(PromptError, match=f"expected a photo of at most 1 MB; {said}"):
        actions.refuse(size)


def test_views_depend_on_the_models(actions: Actions, tiny_sam: FrozenSam, tmp_path: Path) -> None:
    assert actions.views == ["overlay", "boundary", "difference"]
    plain = Actions(Segmenter(HQSam(tiny_sam), capacity=1), actions.examples, tmp_path, Limits(1, 1))
    assert plain.views == ["overlay", "boundary"]
    session = plain.prompt(plain.choose(0), [0.2, 0.2], [0.8, 0.9], subtracts=False)
    assert "IoU" not in plain.show(session, "overlay").status
    with pytest.raises(ConfigError, match="view: expected one of overlay, boundary; got 'difference'"):
        plain.show(session, "difference")
