"""Masks that a SAM finds in photographs: what is written, and what of it may be trained on."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hqsam_lightning.data.sets import folder_sets
from hqsam_lightning.errors import DataError
from hqsam_lightning.inference import HQSam
from hqsam_lightning.prediction.self_masks import OBJECT, UNSURE, find_masks, without_border, write_self_masks

MASK_VALUES = {"object": [OBJECT], "ignore": [UNSURE]}


@pytest.fixture(scope="module")
def nano() -> HQSam:
    return HQSam.from_pretrained("nano")


def a_ball() -> np.ndarray:
    """A red disc of 80 px in the middle of a grey frame of 256 px."""
    y, x = np.indices((256, 256))
    inside = np.hypot(y - 128, x - 128) <= 80
    return np.where(inside[..., None], (200, 30, 30), (120, 125, 130)).astype(np.uint8)


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
    truth = np.hypot(*(np.indices((256, 256)) - 128)) <= 80
    best = max(((mask == OBJECT) & truth).sum() / ((mask == OBJECT) | truth)[mask != UNSURE].sum() for mask in masks)
    assert best > 0.9


def test_what_is_written_can_be_trained_on(nano: HQSam, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(a_ball()).resize((300, 260)).save(tmp_path / "photos" / "ball.jpg")
    counts = [write_self_masks(nano, tmp_path / "photos", tmp_path / name, cuts=3) for name in ("first", "second")]
    assert counts[0] == counts[1] > 0
    catalogue = {"folder": {"images": "images", "masks": "masks", "mask_values": MASK_VALUES}}
    made = folder_sets(catalogue, ["folder"], [], str(tmp_path / "first"), holdout=0, check="full")
    samples = made.train[0][0]
    assert len(samples) == counts[0]
    for index in range(len(samples)):
        sample = samples[index]
        assert sample.image.shape == (256, 256, 3)
        assert sample.ignore is not None
        assert not sample.masks[:, sample.ignore].any()
    names = {path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*.png")}
    assert all((tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes() for name in names)


def test_a_folder_without_photographs_is_named(nano: HQSam, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: expected a folder of photographs; it holds none, or is missing"):
        write_self_masks(nano, tmp_path / "nowhere", tmp_path / "out", cuts=1)
