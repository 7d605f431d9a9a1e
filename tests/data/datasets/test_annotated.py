"""Photos with masks in JSON: which masks are drawn, and when a photo counts as another one."""

from pathlib import Path

import numpy as np
import pytest

from annotated_files import (
    NO_PIXEL,
    SQUARE,
    compressed,
    image,
    instance,
    some_masks,
    write_json,
    write_photo,
    write_sa1b,
)
from hqsam_lightning.data.datasets import CocoInstances, Sa1b
from hqsam_lightning.errors import ConfigError, DataError


def test_many_masks_are_drawn_from_always_alike(tmp_path: Path) -> None:
    masks = some_masks(12)
    write_sa1b(tmp_path, masks)
    write_sa1b(tmp_path, masks, stem="sa_2")
    photos = Sa1b(tmp_path, max_masks=4)
    first, again, other = photos[0].masks, Sa1b(tmp_path, max_masks=4)[0].masks, photos[1].masks
    assert len(first) == 4
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert all(any(np.array_equal(mask > 0.5, known) for known in masks) for mask in first)


def test_masks_without_a_pixel_leave_their_place_to_others(tmp_path: Path) -> None:
    """Whatever is drawn first, the two masks with pixels are found among eight without."""
    write_photo(tmp_path / "a.jpg")
    polygons = [*[NO_PIXEL] * 4, SQUARE, *[NO_PIXEL] * 4, [30, 4, 40, 4, 40, 14]]
    instances = [instance(number, 1, [polygon]) for number, polygon in enumerate(polygons)]
    masks = CocoInstances(write_json(tmp_path, [image(1, "a.jpg")], instances), tmp_path, 2)[0].masks
    assert len(masks) == 2
    assert masks[0, 10, 10] == masks[1, 6, 36] == 1


def test_the_check_does_not_change_what_is_drawn(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg")
    polygons = [[4 + shift, 4, 20 + shift, 4, 20, 20 + shift] for shift in range(6)] + [NO_PIXEL] * 3
    instances = [instance(number, 1, [polygon]) for number, polygon in enumerate(polygons)]
    path = write_json(tmp_path, [image(1, "a.jpg")], instances)
    quick, full = (CocoInstances(path, tmp_path, 3, check=check) for check in ("quick", "full"))
    assert np.array_equal(quick[0].masks, full[0].masks)
    assert quick.identify(0) == full.identify(0)


def test_a_change_of_masks_changes_the_identity(tmp_path: Path) -> None:
    write_sa1b(tmp_path, some_masks(2))
    before = Sa1b(tmp_path, 2).identify(0)
    assert before == Sa1b(tmp_path, 2).identify(0)
    assert before != Sa1b(tmp_path, 1).identify(0)
    write_sa1b(tmp_path, some_masks(3))
    assert before != Sa1b(tmp_path, 2).identify(0)


def test_a_part_holds_the_same_photos(tmp_path: Path) -> None:
    for stem in ("sa_1", "sa_2", "sa_3"):
        write_sa1b(tmp_path, some_masks(1), stem=stem)
    photos = Sa1b(tmp_path, 1)
    part = photos.part(1, 3)
    assert [part[index].sample_id for index in range(len(part))] == ["sa1b/sa_2", "sa1b/sa_3"]
    assert part.identify(0) == photos.identify(1)
    assert len(photos) == 3


def test_a_photo_exchanged_during_the_run_is_named(tmp_path: Path) -> None:
    photo = write_sa1b(tmp_path, some_masks(1))
    photos = Sa1b(tmp_path, 1)
    write_photo(photo, size=(56, 40))
    with pytest.raises(DataError, match=r"sa_1\.json: expected 'sa_1\.jpg' with height x width 40x56 .* got 56x40"):
        photos[0]


@pytest.mark.parametrize("max_masks", [0, -1, True, 2.0, "4"])
def test_an_impossible_number_of_masks(tmp_path: Path, max_masks: object) -> None:
    write_sa1b(tmp_path, some_masks(1), compressed)
    with pytest.raises(ConfigError, match=r"data\.max_masks: expected an integer >= 1.*; got"):
        Sa1b(tmp_path, max_masks)
    path = write_json(tmp_path, [image(1, "sa_1.jpg")], [instance(1, 1)])
    with pytest.raises(ConfigError, match=r"data\.max_masks: expected an integer >= 1.*; got"):
        CocoInstances(path, tmp_path, max_masks)


@pytest.mark.parametrize("exclude", ["a.jpg", [1], [None], 7])
def test_names_to_exclude_are_texts(tmp_path: Path, exclude: object) -> None:
    write_sa1b(tmp_path, some_masks(1))
    with pytest.raises(ConfigError, match=r"data\.exclude: expected .*file names"):
        Sa1b(tmp_path, 1, exclude=exclude)


def test_an_unknown_check_lists_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.check: expected one of quick, full; got 'fast'"):
        Sa1b(tmp_path, 1, check="fast")
