"""What the checks report about masks: meanings that cannot be decided, and masks to look at."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hqsam_lightning.data.catalogue import Source, source_from_config
from hqsam_lightning.data.datasets import PhotoPairs
from hqsam_lightning.data.inspection import inspect_sources
from hqsam_lightning.data.sets import folder_sets
from hqsam_lightning.errors import DataError
from mask_pictures import classes, disc, save

WHITE = disc() * np.uint8(255)


def build(root: Path, *masks: np.ndarray) -> None:
    for path in save(root / "gt", *masks):
        (root / "im").mkdir(exist_ok=True)
        Image.new("RGB", (64, 64)).save(root / "im" / f"{path.stem}.jpg")


def birds(**settings: Any) -> Source:
    return source_from_config("birds", {"images": "im", "masks": "gt", **settings})


def noticed(root: Path, caplog: pytest.LogCaptureFixture, **settings: Any) -> str:
    """What the full check warns of."""
    with caplog.at_level(logging.WARNING):
        inspect_sources([birds(**settings)], root, False, "full")
    return "\n".join(caplog.messages)


@pytest.mark.parametrize("check", ["quick", "full"])
def test_all_undecided_sources_are_in_one_error(tmp_path: Path, check: str) -> None:
    build(tmp_path / "one", classes(1, 2), WHITE)
    build(tmp_path / "two", 255 - WHITE)
    build(tmp_path / "three", WHITE)
    sources = [Source(name, f"{name}/im", f"{name}/gt") for name in ("one", "two", "three")]
    with pytest.raises(DataError, match=r"\(paths\.data_dir\): 2\n  - one: .*\n  - two: ") as caught:
        inspect_sources(sources, tmp_path, False, check)
    assert "data.catalogue.one.mask_values" in str(caught.value)


@pytest.mark.parametrize("check", ["quick", "full"])
@pytest.mark.parametrize(
    ("orientation", "mask_orientation", "is_warned_of"), [(3, 1, True), (2, 1, True), (6, 1, True), (3, 3, False)]
)
def test_photos_that_exif_turns_in_their_own_size_are_warned_of(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    orientation: int,
    mask_orientation: int,
    is_warned_of: bool,
    check: str,
) -> None:
    build(tmp_path, WHITE, WHITE)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (64, 64)).save(tmp_path / "im/1.jpg", exif=exif)
    exif[0x0112] = mask_orientation
    Image.fromarray(WHITE).save(tmp_path / "gt/1.png", exif=exif)
    with caplog.at_level(logging.WARNING):
        inspect_sources([birds()], tmp_path, False, check)
    assert ("birds: EXIF turns 1 photo(s)" in caplog.text) == is_warned_of
    assert ("1.jpg" in caplog.text) == is_warned_of


def test_masks_without_background_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build(tmp_path, WHITE, WHITE * 0 + 255, WHITE * 0 + 255)
    text = noticed(tmp_path, caplog)
    assert "birds: 2 mask(s) without any background: " in text
    assert "1.png" in text
    assert "0.png" not in text


@pytest.mark.parametrize("meaning", ["soft", "binary", "auto"])
def test_a_white_background_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture, meaning: str) -> None:
    build(tmp_path, WHITE, 255 - WHITE, WHITE, WHITE)
    text = noticed(tmp_path, caplog, mask_values=meaning)
    assert "birds: 1 mask(s) bright along the border and dark inside, as with a white background: " in text
    assert "1.png" in text.split("white background: ")[1]


@pytest.mark.parametrize("odd", [classes(1, 2, 3), disc() * np.uint8(3) + classes(9), np.uint8(128) * disc(30)])
def test_one_file_unlike_the_rest_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, odd: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the sample, from which the meaning is decided, misses it."""
    monkeypatch.setattr("hqsam_lightning.data.mask_deciding.SAMPLE", 2)
    build(tmp_path, WHITE, odd, WHITE, WHITE)
    with pytest.raises(
        DataError, match=r"birds: 1 mask\(s\) are unlike the rest .*taken for soft: .*1\.png \(values 0"
    ):
        inspect_sources([birds()], tmp_path, False, "full")


@pytest.mark.parametrize("meaning", ["soft", "binary"])
@pytest.mark.parametrize("odd", [classes(1, 255), classes(128, 255), np.maximum(WHITE, disc(25) * np.uint8(90))])
def test_one_file_unlike_the_rest_is_warned_of_where_the_meaning_is_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, odd: np.ndarray, meaning: str
) -> None:
    build(tmp_path, WHITE, odd, WHITE)
    text = noticed(tmp_path, caplog, mask_values=meaning)
    assert "birds: 1 mask(s) unlike the rest of the source, as ids or classes would be: " in text
    assert "1.png (values 0" in text


def test_values_that_are_not_listed_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build(tmp_path, classes(1, 2), classes(1, 7), classes(1, ring=2))
    text = noticed(tmp_path, caplog, mask_values={"object": [1, 2], "ignore": [255]})
    assert "1 mask(s) with values that data.catalogue.<source>.mask_values does not list" in text
    assert "1.png (7)" in text


def test_masks_without_an_object_beside_others_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build(tmp_path, WHITE)
    (tmp_path / "gt/0.png").unlink()
    for path in save(tmp_path, WHITE, WHITE * 0, WHITE * 0):
        path.rename(tmp_path / "gt" / f"0_{path.name}")
    assert "without an object beside other masks of the photo, which are left out: 2 of 0.jpg" in noticed(
        tmp_path, caplog
    )


@pytest.mark.parametrize("check", ["quick", "full"])
def test_every_mask_of_a_photo_is_of_its_size(tmp_path: Path, check: str) -> None:
    build(tmp_path, WHITE)
    (tmp_path / "gt/0.png").unlink()
    for path in save(tmp_path, WHITE, WHITE[:40]):
        path.rename(tmp_path / "gt" / f"0_{path.name}")
    with pytest.raises(DataError, match=r"64x64 in .* and 64x40 in .*0_1\.png"):
        inspect_sources([birds()], tmp_path, False, check)


# --- the meaning is part of the samples ------------------------------------------------------------------------------


def make(root: Path, **settings: Any) -> PhotoPairs:
    entry = {"images": "im", "masks": "gt", **settings}
    ((samples, _),) = folder_sets({"birds": entry}, ["birds"], [], str(root), holdout=0).train
    assert isinstance(samples, PhotoPairs)
    return samples


def test_another_meaning_is_another_sample(tmp_path: Path) -> None:
    build(tmp_path, classes(1, 2, ring=1))
    meanings = ["nonzero", "ids", "soft", {"object": [1]}, {"object": [2]}, {"object": [1], "ignore": [255]}]
    made = [make(tmp_path, mask_values=meaning) for meaning in meanings] + [
        make(tmp_path, mask_values="ids", max_masks=2)
    ]
    assert len({samples.identify(0).content for samples in made}) == len(made)
    assert make(tmp_path, mask_values="ids").identify(0) == made[1].identify(0)
    assert made[5].identify(0).content.endswith(" object [1], ignore [255]")


def test_a_changed_mask_of_several_is_another_sample(tmp_path: Path) -> None:
    build(tmp_path, WHITE)
    (tmp_path / "gt/0.png").rename(tmp_path / "gt/0_0.png")
    save(tmp_path / "other", WHITE, disc(5) * np.uint8(255))[1].rename(tmp_path / "gt/0_1.png")
    before = make(tmp_path).identify(0)
    Image.fromarray(disc(7) * np.uint8(255)).save(tmp_path / "gt/0_1.png")
    after = make(tmp_path).identify(0)
    assert before.sample_id == after.sample_id == "birds/0"
    assert before.content != after.content


def test_ignored_pixels_reach_the_sample(tmp_path: Path) -> None:
    build(tmp_path, classes(1, 2, ring=2))
    sample = make(tmp_path, mask_values={"object": "ids", "ignore": [255]})[0]
    assert sample.masks.shape == (2, 64, 64)
    np.testing.assert_array_equal(sample.ignore, classes(1, 2, ring=2) == 255)
    assert make(tmp_path, mask_values={"object": [1, 2]})[0].ignore is None


def test_many_masks_are_drawn_the_same_way_every_time(tmp_path: Path) -> None:
    build(tmp_path, classes(1, 2, 3, 4, 5, 6), classes(1, 2, 3, 4, 5, 6), classes(1))
    few, again, every = (make(tmp_path, mask_values="ids", max_masks=most) for most in (3, 3, None))
    assert [len(samples[0].masks) for samples in (few, again, every)] == [3, 3, 6]
    assert len(few[2].masks) == 1
    np.testing.assert_array_equal(few[0].masks, again[0].masks)
    kept = [[int((mask * classes(1, 2, 3, 4, 5, 6)).max()) for mask in few[index].masks] for index in (0, 1)]
    assert kept[0] == sorted(kept[0])
    assert kept[0] != kept[1] or kept[0] != [1, 2, 3]


def test_dropped_masks_are_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build(tmp_path, WHITE)
    (tmp_path / "gt/0.png").rename(tmp_path / "gt/0_0.png")
    save(tmp_path / "other", WHITE * 0)[0].rename(tmp_path / "gt/0_1.png")
    samples = make(tmp_path)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert len(samples[0].masks) == 1
    assert [text for text in caplog.messages if "no object" in text] == [
        "birds/0: 1 of its masks show no object and are left out"
    ]
