"""The photographs that the package ships."""

import re

import numpy as np
import pytest

from hqsam_lightning.data.photos import COUNT, FOLDER, shipped_photos
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.train import train
from hqsam_lightning.types import OBJECT_THRESHOLD


def test_every_photograph_has_one_object_of_a_visible_size():
    sets = shipped_photos()
    photos = sets.validation["photos"]
    assert not sets.train
    assert len(photos) == COUNT
    for index in range(COUNT):
        sample = photos[index]
        height, width = sample.image.shape[:2]
        assert max(height, width) <= 512
        (mask,) = sample.masks
        assert mask.shape == (height, width)
        assert 0.01 < np.mean(mask >= OBJECT_THRESHOLD) < 0.6, sample.sample_id


def test_every_photograph_has_its_source_and_licence():
    lines = re.findall(
        r"^\| `(\w+)` \| .+ \| (?:public domain|CC0|CC BY [1-4]\.[05])\b", (FOLDER / "README.md").read_text(), re.M
    )
    assert sorted(lines) == sorted(path.stem for path in (FOLDER / "images").iterdir())


def test_the_photographs_stay_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.*g")) < 3_000_000


def test_they_alone_are_nothing_to_train_on(make_config):
    with pytest.raises(ConfigError, match="expected something to train on; got sets that only validate, on photos"):
        train(make_config("data=photos", "sam=tiny_random", "trainer=cpu", "setting=paper"))
