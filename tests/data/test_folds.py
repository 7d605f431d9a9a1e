"""Parts of the photos: near ones together, of like size, and only where nothing else is validated on."""

import numpy as np
import pytest
from PIL import Image

from hqsam_lightning.data.building import build_run_sets
from hqsam_lightning.data.folds import cross_fitted
from hqsam_lightning.data.sets import DataSets
from hqsam_lightning.errors import ConfigError
from sets_of_photos import Blobs


def test_parts_are_of_neighbours_and_of_like_size() -> None:
    photos = Blobs(13)
    sets, folds = cross_fitted(DataSets([(photos, 1.0)], {}), 5)
    assert sets.validation == {"blobs": photos}
    assert sets.train == [(photos, 1.0)]
    parts = [folds.of[f"blobs/{number}"] for number in range(13)]
    assert parts == sorted(parts)
    assert sorted(np.bincount(parts)) == [2, 2, 3, 3, 3]


def test_too_few_photos_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"folds: expected at most 4, .* of the 9 photos .*; got 5; .*at least 10"):
        cross_fitted(DataSets([(Blobs(9), 1.0)], {}), 5)


@pytest.fixture
def folder(tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for number in range(10):
        mask = np.zeros((12, 12), np.uint8)
        mask[2:8, 3 + number % 4 : 9] = 255
        Image.fromarray(np.stack([mask, mask // 2, 255 - mask], -1)).save(tmp_path / "images" / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    return tmp_path


def test_no_photo_is_held_out_beside(make_config, folder) -> None:
    sets, folds = build_run_sets(make_config("data=folder", f"paths.data_dir={folder}", "folds=2"))
    assert (sets.epoch_size, len(sets.validation["folder"])) == (10, 10)
    assert folds is not None
    assert list(folds.of.values()) == [0] * 5 + [1] * 5
    held_out, none = build_run_sets(make_config("data=folder", f"paths.data_dir={folder}"))
    assert (held_out.epoch_size, none) == (9, None)


def test_a_validation_set_that_is_given_is_taken(make_config) -> None:
    sets, folds = build_run_sets(make_config("data=synthetic", "data.val_size=3", "folds=5"))
    assert folds is None
    assert len(sets.validation["synthetic"]) == 3
