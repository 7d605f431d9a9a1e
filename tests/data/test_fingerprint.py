"""What of the data a checkpoint keeps, and how a change is described."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqsam_lightning.data.datasets import PhotoPairs
from hqsam_lightning.data.fingerprint import changes, fingerprint
from hqsam_lightning.data.sets import DataSets, synthetic_sets


@pytest.fixture
def pairs(tmp_path: Path) -> list[tuple[Path, Path]]:
    """Six small photos and masks."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(6):
        photo, mask = tmp_path / f"{number}.jpg", tmp_path / f"{number}.png"
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(photo)
        Image.fromarray(rng.integers(0, 2, (8, 8), dtype=np.uint8) * 255).save(mask)
        made.append((photo, mask))
    return made


def sets_of(train: list[tuple[Path, Path]], validation: list[tuple[Path, Path]]) -> DataSets:
    return DataSets([(PhotoPairs("birds", train), 1.0)], {"birds": PhotoPairs("birds", validation)})


def test_the_same_data_is_the_same(pairs: list[tuple[Path, Path]]) -> None:
    once = fingerprint(sets_of(pairs[:4], pairs[4:]))
    assert once == fingerprint(sets_of(pairs[:4], pairs[4:]))
    assert changes(once, once) == []
    assert once["train"]["birds"]["count"] == 4


def test_what_changed_is_described(pairs: list[tuple[Path, Path]]) -> None:
    before = fingerprint(sets_of(pairs[:3], pairs[4:]))
    more = changes(before, fingerprint(sets_of(pairs[:4], pairs[4:])))
    assert more == ["train set birds: 3 images before, 4 now"]
    # the number of photos stays, but one that was held out is trained on
    moved = changes(before, fingerprint(sets_of([*pairs[:2], pairs[4]], [pairs[2], pairs[5]])))
    assert [text.split(":")[0] for text in moved] == ["train set birds", "validation set birds"]
    assert all("but others, or in another order" in text for text in moved)
    swapped = changes(before, fingerprint(sets_of(pairs[:3][::-1], pairs[4:])))
    assert swapped == ["train set birds: 3 images as before, but others, or in another order"]
    gone = changes(before, fingerprint(replace(sets_of(pairs[:3], []), validation={"cats": PhotoPairs("cats", pairs)})))
    assert gone == ["validation set birds: is gone", "validation set cats: is new"]


@pytest.mark.parametrize("which", [0, 1])
def test_another_photo_or_mask_of_the_same_name(pairs: list[tuple[Path, Path]], which: int) -> None:
    before = fingerprint(sets_of(pairs[:3], pairs[4:]))
    Image.new("L", (8, 8), 255).save(pairs[1][which])
    assert changes(before, fingerprint(sets_of(pairs[:3], pairs[4:]))) == [
        "train set birds: the same 3 names, but files of other content"
    ]


def test_two_sources_of_one_name_are_kept_apart(pairs: list[tuple[Path, Path]]) -> None:
    twice = DataSets([(PhotoPairs("birds", each), 1.0) for each in (pairs[:3], pairs[3:])], {})
    assert [facts["count"] for facts in fingerprint(twice)["train"].values()] == [3, 3]


def test_scenes_are_told_by_what_they_follow_from() -> None:
    before = fingerprint(synthetic_sets(5, 2, 64))
    assert changes(before, fingerprint(synthetic_sets(5, 2, 64, seed=1)))
    assert changes(before, fingerprint(synthetic_sets(5, 3, 64))) == [
        "validation set synthetic: 2 images before, 3 now"
    ]
