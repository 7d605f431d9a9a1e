"""Contact sheets: which samples they show, what is drawn, and that no name or damaged source stops a run."""

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqsam_lightning.data.contact_sheet import (
    CAPTION,
    LINE,
    SAMPLES,
    SIDE,
    caption,
    choose,
    draw_sheet,
    write_contact_sheets,
)
from hqsam_lightning.data.sets import DataSets
from hqsam_lightning.errors import DataError
from hqsam_lightning.train import train
from hqsam_lightning.types import Identity, Sample


class Photos:
    """Grey photos with two masks of halves, the second half transparent; counts what is read."""

    def __init__(self, count: int, name: str = "set", shape: tuple[int, int] = (40, 60), suffix: str = "") -> None:
        self.count, self.name, self.shape, self.suffix = count, name, shape, suffix
        self.ignore: np.ndarray | None = None
        self.read: Counter[int] = Counter()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        self.read[index] += 1
        masks = np.zeros((2, *self.shape), np.float32)
        masks[0, :, : self.shape[1] // 2] = masks[1, : self.shape[0] // 2] = 1
        image = np.full((*self.shape, 3), 100, np.uint8)
        return Sample(image, masks, f"{self.name}/{index}{self.suffix}", self.name, self.ignore)

    def identify(self, index: int) -> Identity:
        return Identity(f"{self.name}/{index}", self.name, "")


class Damaged(Photos):
    def __getitem__(self, index: int) -> Sample:
        raise DataError("a.jpg: damaged")


def pictures(tile: int, sheet: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Photo and painted photo, (SIDE, SIDE, 3) each, of a tile in the first row of a sheet."""
    rows, left = slice(LINE + CAPTION, LINE + CAPTION + SIDE), 2 * SIDE * tile
    return sheet[rows, left : left + SIDE].astype(int), sheet[rows, left + SIDE : left + 2 * SIDE].astype(int)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


# --- which samples ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, SAMPLES, SAMPLES + 1, 500])
def test_a_few_samples_are_read_once_each(count: int) -> None:
    photos = Photos(count)
    draw_sheet(photos, "set", 0)
    assert len(photos.read) == min(count, SAMPLES)
    assert set(photos.read.values()) == {1}
    assert 0 in photos.read


def test_samples_depend_on_seed_and_name_alone() -> None:
    assert choose(500, "a", 1) == choose(500, "a", 1)
    assert len({tuple(choose(500, title, seed)) for title in "ab" for seed in range(3)}) == 6
    shown = Counter(index for seed in range(300) for index in choose(20, "a", seed)[1:])
    assert set(shown) == set(range(1, 20))


# --- what is drawn ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (3000, 200), (1, 1), (7, 900)])
def test_photos_keep_their_aspect_whatever_their_size(shape: tuple[int, int]) -> None:
    sheet = draw_sheet(Photos(3, shape=shape), "set", 0)
    assert sheet.shape == (LINE + CAPTION + SIDE, 3 * 2 * SIDE, 3)
    photo, _ = pictures(1, sheet)
    ys, xs = np.nonzero((photo == 100).all(axis=-1))
    height, width = (max(1, round(side * SIDE / max(shape))) for side in shape)
    assert (ys.max() + 1, xs.max() + 1, len(ys)) == (height, width, height * width)


def test_masks_have_colours_of_their_own_and_the_background_none() -> None:
    _, painted = pictures(0, draw_sheet(Photos(1, shape=(64, 64)), "set", 0))
    quarters = [painted[y : y + 40, x : x + 40].reshape(-1, 3) for y in (20, 190) for x in (20, 190)]
    both, second, first, background = (quarter.mean(axis=0) for quarter in quarters)
    assert np.ptp(background) == 0
    assert background[0] == 50
    colours = [first, second, both]
    assert all(np.ptp(colour) > 30 for colour in colours)
    assert all(np.abs(one - other).max() > 30 for one in colours for other in colours if one is not other)


def test_ignored_pixels_are_hatched_over_masks_and_background() -> None:
    photos = Photos(1, shape=(64, 64))
    photos.ignore = np.zeros((64, 64), bool)
    photos.ignore[16:48] = True
    _, painted = pictures(0, draw_sheet(photos, "set", 0))
    stripe, beside = painted[80:180], painted[200:]
    assert (np.ptp(stripe, axis=-1) == 0).all()
    assert len(np.unique(stripe)) == 2
    assert np.ptp(beside[:, :100], axis=-1).min() > 30


def test_a_line_of_ignored_pixels_is_seen_on_a_large_photo() -> None:
    photos = Photos(1, shape=(2000, 2000))
    photos.ignore = np.zeros((2000, 2000), bool)
    photos.ignore[:, 1500] = True
    plain, hatched = (pictures(0, draw_sheet(each, "set", 0))[1] for each in (Photos(1, shape=(2000, 2000)), photos))
    assert np.unique(np.nonzero((plain != hatched).any(axis=-1))[1]).tolist() == [192]


@pytest.mark.parametrize(
    ("masks", "ignored", "expected"),
    [
        (2, None, "2 masks, object 75.0 %"),
        (1, None, "1 mask, object 50.0 %"),
        (2, 0.0, "2 masks, object 75.0 %, ignored 0.0 %"),
        (2, 0.25, "2 masks, object 75.0 %, ignored 25.0 %"),
    ],
)
def test_captions_give_the_shares(masks: int, ignored: float | None, expected: str) -> None:
    sample = Photos(1)[0]
    ignore = None if ignored is None else np.arange(2400).reshape(40, 60) < 2400 * ignored
    assert caption(replace(sample, masks=sample.masks[:masks], ignore=ignore)) == expected


# --- names -----------------------------------------------------------------------------------------------------------

NAMES = ["cost_$5_$10", "x_y^2_{z}", "a\nb\tc", "Größe хлеб 写真", "\udcff\udc80", "&" * 300, "<b>*|`", "", "%s\\x"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_drawn_and_makes_a_file(tmp_path: Path, name: str) -> None:
    sets = DataSets([(Photos(2, name), 1.0)], {name: Photos(2, name, suffix=name)})
    written = write_contact_sheets(sets, tmp_path, 0)
    assert len(written) == 2
    assert sorted(tmp_path.rglob("*.jpg")) == sorted(written)
    assert all(path.parent == tmp_path / "data" and size_of(path)[0] == 4 * SIDE for path in written)


def test_sources_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    sets = DataSets([(Photos(1, name), 1.0) for name in ("a b", "a?b", "A B")], {"a b": Photos(1)})
    names = [path.name for path in write_contact_sheets(sets, tmp_path, 0)]
    assert names == ["train_a_b.jpg", "train_a_b_2.jpg", "train_a_b_3.jpg", "val_a_b.jpg"]


# --- in a run --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [Damaged(3, "broken"), Photos(0, "broken"), Photos(1, "broken", shape=(0, 5))])
def test_a_source_that_cannot_be_drawn_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: Photos
) -> None:
    with caplog.at_level(logging.WARNING):
        written = write_contact_sheets(DataSets([(broken, 1.0), (Photos(2), 1.0)], {}), tmp_path, 0)
    assert [path.name for path in written] == ["train_set.jpg"]
    (record,) = caplog.records
    assert "drawing the contact sheet of source 0 (train" in record.getMessage()


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data").write_text("a file")
    assert write_contact_sheets(DataSets([(Photos(1), 1.0)], {}), tmp_path, 0) == []
    assert len(caplog.records) == 1


def test_a_run_leaves_the_sheets_of_its_sources(make_config, tmp_path: Path) -> None:
    config = make_config(
        *("sam=tiny_random", "trainer=cpu", "trainer.max_epochs=1", "batch.total=2", "loader.num_workers=0"),
        *("loss.num_points=16", "~callbacks.progress_bar", "data.train_size=2", "data.val_size=1"),
        f"paths.output_dir={tmp_path}",
    )
    train(config)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["train_synthetic.jpg", "val_synthetic.jpg"]
    assert size_of(tmp_path / "data" / "train_synthetic.jpg") == (4 * SIDE, LINE + CAPTION + SIDE)
