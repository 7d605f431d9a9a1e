"""Masks that a SAM finds in photographs: what is written, and what of it may be trained on."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hqsam_lightning.data.sets import folder_sets
from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.inference import HQSam
from hqsam_lightning.prediction import self_masks
from hqsam_lightning.prediction.self_masks import OBJECT, UNSURE, find_masks, without_border, write_self_masks

SIDE, RADIUS = 320, 100  # px of SAM-nano's frame, and of a ball in it
MASK_VALUES = {"object": [OBJECT], "ignore": [UNSURE]}


@pytest.fixture(scope="module")
def nano() -> HQSam:
    model = HQSam.from_pretrained("nano")
    assert model.image_size == SIDE
    return model


def in_the_ball() -> np.ndarray:
    return np.hypot(*(np.indices((SIDE, SIDE)) - SIDE / 2)) <= RADIUS


def a_ball() -> np.ndarray:
    """A red disc in the middle of a grey frame."""
    return np.where(in_the_ball()[..., None], (200, 30, 30), (120, 125, 130)).astype(np.uint8)


def test_a_mask_has_no_holes_and_no_border() -> None:
    ring = np.zeros((128, 128), np.uint8)
    cv2.circle(ring, (64, 64), 40, 1, -1)
    cv2.circle(ring, (64, 64), 10, 0, -1)
    found = without_border(ring.astype(bool))
    distance = np.hypot(*(np.indices(ring.shape) - 64))
    assert (found[distance < 37] == OBJECT).all()
    assert (found[(distance > 39.5) & (distance < 40.5)] == UNSURE).all()
    assert not found[distance > 44].any()


def test_a_thing_is_found(nano: HQSam) -> None:
    masks = list(find_masks(np.random.default_rng(0), nano, a_ball()))
    assert masks
    truth = in_the_ball()
    best = max(((mask == OBJECT) & truth).sum() / ((mask == OBJECT) | truth)[mask != UNSURE].sum() for mask in masks)
    assert best > 0.9


def test_what_is_written_can_be_trained_on(nano: HQSam, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(a_ball()).resize((300, 260)).save(tmp_path / "photos" / "ball.jpg")
    counts = [write_self_masks(nano, str(tmp_path / "photos"), tmp_path / name, 3) for name in ("first", "second")]
    assert counts[0] == counts[1] > 0
    catalogue = {"folder": {"images": "images", "masks": "masks", "mask_values": MASK_VALUES}}
    made = folder_sets(catalogue, ["folder"], [], str(tmp_path / "first"), holdout=0, check="full")
    samples = made.train[0][0]
    assert len(samples) == counts[0]
    for index in range(len(samples)):
        sample = samples[index]
        assert sample.image.shape == (SIDE, SIDE, 3)
        assert sample.ignore is not None
        assert not sample.masks[:, sample.ignore].any()
    names = {path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*.png")}
    assert all((tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes() for name in names)


def test_photographs_are_turned_as_they_are_shown(nano: HQSam, tmp_path: Path) -> None:
    """Beside a photograph of the same look: one whose pixels are stored lying, and its EXIF orientation says so."""
    upright = np.concatenate([a_ball(), np.full((64, SIDE, 3), 20, np.uint8)])
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, pixels, options in (("plain", upright, {}), ("turned", np.rot90(upright), {"exif": exif})):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "ball.png", **options)
        write_self_masks(nano, str(tmp_path / name), tmp_path / f"{name}_pairs", cuts=2)
    plain, turned = (
        {path.name: path.read_bytes() for path in (tmp_path / f"{name}_pairs" / "masks").iterdir()}
        for name in ("plain", "turned")
    )
    assert plain == turned


def test_bad_input_is_named_before_anything_is_written(nano: HQSam, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    with pytest.raises(DataError, match=r"expected a photo .*photos has none"):
        write_self_masks(nano, str(photos), out, cuts=1)
    Image.fromarray(a_ball()).save(photos / "a.png")
    (photos / "b.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"b\.jpg"):
        write_self_masks(nano, str(photos), out, cuts=1)
    with pytest.raises(ConfigError, match="--cuts: expected an integer >= 1; got 0"):
        write_self_masks(nano, str(photos), out, cuts=0)
    assert not out.exists()
    (out / "images").mkdir(parents=True)
    (out / "images" / "other.jpg").touch()
    with pytest.raises(DataError, match="out: expected no pairs there; images/ holds some"):
        write_self_masks(nano, str(photos), out, cuts=1)


def test_nothing_to_be_sure_of_is_an_error(nano: HQSam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(a_ball()).save(tmp_path / "a.png")
    monkeypatch.setattr(self_masks, "LEAST_STABILITY", 2.0)
    with pytest.raises(DataError, match="expected a thing that the model is sure of; it is of none"):
        write_self_masks(nano, str(tmp_path / "a.png"), tmp_path / "out", cuts=1)


def test_a_thin_mask_that_is_all_border_is_left_out(nano: HQSam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_masks, "BORDER", 0.5)
    assert list(find_masks(np.random.default_rng(0), nano, a_ball())) == []
