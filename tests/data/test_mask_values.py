"""What masks read as under each meaning of their values, and the config's words for it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from hqsam_lightning.data.catalogue import source_from_config
from hqsam_lightning.data.mask_values import MaskValues, mask_values_from_config
from hqsam_lightning.errors import ConfigError, DataError
from mask_pictures import VOC, antialiased, classes, disc, palette, rgba, save
from one_mask import read_mask, read_masks

KEY = "data.catalogue.birds.mask_values"


def values(config: Any) -> MaskValues:
    return mask_values_from_config(KEY, config)


# --- the config ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("auto", "auto"),
        ("binary", "binary"),
        ("soft", "soft"),
        ("nonzero", "nonzero"),
        ("alpha", "alpha"),
        ("ids", "ids"),
        ({"object": [3, 1, 1]}, "object [1, 3]"),
        ({"object": [1], "ignore": [255, 254]}, "object [1], ignore [254, 255]"),
        ({"object": "ids", "ignore": [255]}, "ids, ignore [255]"),
        ({"object": "nonzero", "ignore": [7]}, "nonzero, ignore [7]"),
        ({"object": [0]}, "object [0]"),
    ],
)
def test_a_meaning_is_a_word_or_a_mapping(config: Any, text: str) -> None:
    assert str(values(config)) == text
    wrapped = OmegaConf.create({"images": "im", "mask_values": config})
    assert str(values(source_from_config("birds", wrapped).mask_values)) == text  # as Hydra passes it on


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("grey", rf"^{KEY}: expected auto, binary \(.*; got 'grey'$"),
        (None, rf"^{KEY}: expected auto, .*; got None$"),
        (255, rf"^{KEY}: expected auto"),
        ({"ignore": [255]}, rf"^{KEY}: expected auto"),
        ({"object": [1], "void": [255]}, rf"^{KEY}: expected auto"),
        ({"object": []}, rf"^{KEY}\.object: expected at least one value, nonzero or ids; got \[\]"),
        ({"object": "alpha"}, rf"^{KEY}\.object: expected a list of whole numbers from 0 to 65535; got 'alpha'"),
        ({"object": [1.5]}, rf"^{KEY}\.object: expected a list of whole numbers"),
        ({"object": [True]}, rf"^{KEY}\.object: expected a list of whole numbers"),
        ({"object": [1], "ignore": [-1]}, rf"^{KEY}\.ignore: expected a list of whole numbers from 0 to 65535"),
        ({"object": [1], "ignore": 255}, rf"^{KEY}\.ignore: expected a list of whole numbers"),
        ({"object": [1, 2], "ignore": [2]}, rf"^{KEY}: expected each value under object or under ignore; got \[2\]"),
    ],
)
def test_other_values_are_refused_with_the_choices(config: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        source_from_config("birds", {"images": "im", "mask_values": config})


# --- one object per file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_soft_is_the_value_over_the_depths_range(tmp_path: Path, dtype: type) -> None:
    full = np.iinfo(dtype).max
    plane = np.array([[0, 3, full // 2, full]], dtype)
    (path,) = save(tmp_path, plane)
    np.testing.assert_array_equal(read_mask(path), plane.astype(np.float32) / np.float32(full))


@pytest.mark.parametrize("pair", [(0, 3), (0, 100), (0, 128)])
def test_two_faint_values_of_a_soft_source_are_no_object(tmp_path: Path, pair: tuple[int, int]) -> None:
    (path,) = save(tmp_path, np.array([pair], np.uint8))
    with pytest.raises(DataError, match=rf"empty mask: .*mask_values=soft\), got values {pair[0]} to {pair[1]} in"):
        read_mask(path)


def test_nonzero_is_whatever_is_not_black(tmp_path: Path) -> None:
    faint = np.zeros((64, 64, 3), np.uint8)
    faint[disc(), 2] = 1
    pictures = [classes(1, 7, 255), palette(classes(1, 2, ring=1), VOC), faint, rgba(disc() * 9, disc(3) * 255)]
    expected = [classes(1, 7, 255) > 0, classes(1, 2, ring=1) > 0, disc(), disc()]
    for path, shape in zip(save(tmp_path, *pictures), expected, strict=True):
        np.testing.assert_array_equal(read_mask(path, values("nonzero")), shape.astype(np.float32))


def test_alpha_is_read_whatever_the_colours(tmp_path: Path) -> None:
    (path, plain) = save(tmp_path, rgba(disc(5) * 255, antialiased()), disc() * np.uint8(255))
    np.testing.assert_array_equal(read_mask(path, values("alpha")), antialiased() / np.float32(255))
    with pytest.raises(DataError, match=r"mask_values=alpha: expected .* alpha channel, got none in .*1\.png"):
        read_mask(plain, values("alpha"))


def test_listed_values_are_object_or_ignored_and_others_background(tmp_path: Path) -> None:
    plane = classes(1, 2, 3, ring=2)
    for number, picture in enumerate([plane, plane.astype(np.uint16), palette(plane, VOC)]):
        (path,) = save(tmp_path / str(number), picture)
        read = read_masks([path], values({"object": [1, 3], "ignore": [255]}))
        np.testing.assert_array_equal(read.masks, ((plane == 1) | (plane == 3)).astype(np.float32)[None])
        assert read.ignore is not None
        np.testing.assert_array_equal(read.ignore, plane == 255)


def test_nonzero_without_the_ignored_border(tmp_path: Path) -> None:
    plane = classes(1, 5, ring=2)
    (path,) = save(tmp_path, palette(plane, VOC))
    read = read_masks([path], values({"object": "nonzero", "ignore": [255]}))
    np.testing.assert_array_equal(read.masks[0] > 0, (plane == 1) | (plane == 5))
    np.testing.assert_array_equal(read.ignore, plane == 255)


def test_a_white_background_is_turned_by_listing_black(tmp_path: Path) -> None:
    (path,) = save(tmp_path, np.where(disc(), 0, 255).astype(np.uint8))
    np.testing.assert_array_equal(read_mask(path, values({"object": [0]})), disc().astype(np.float32))


def test_nothing_is_ignored_where_no_pixel_is(tmp_path: Path) -> None:
    (path,) = save(tmp_path, classes(1, 2))
    assert read_masks([path], values({"object": [1], "ignore": [255]})).ignore is None


@pytest.mark.parametrize("config", ["ids", {"object": [255]}, {"object": "nonzero", "ignore": [7]}])
def test_listed_values_of_a_jpeg_are_refused(tmp_path: Path, config: Any) -> None:
    (path,) = save(tmp_path, classes(255), suffix=".jpg")
    with pytest.raises(DataError, match=r"values are exact, got a JPEG in .*0\.jpg; save the masks as PNG"):
        read_mask(path, values(config))


def test_listed_values_of_colours_are_refused(tmp_path: Path) -> None:
    (path,) = save(tmp_path, palette(classes(1, 2), VOC).convert("RGB"))
    with pytest.raises(DataError, match=r"got a colour image without a palette in .*0\.png; save the mask as 8-bit"):
        read_mask(path, values({"object": [128]}))


def test_a_mask_of_several_pages_is_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(classes(255)), Image.fromarray(disc() * np.uint8(255))]
    for suffix in (".tif", ".gif"):
        pages[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=pages[1:])
        with pytest.raises(DataError, match=rf"got 2 frames or pages in .*a\{suffix}; save each as a file"):
            read_mask(tmp_path / f"a{suffix}")


# --- several objects -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picture", "ids"),
    [
        (classes(1, 2, 200), [1, 2, 200]),
        (classes(3, 5, ring=2), [3, 5, 255]),
        (classes(1, 2).astype(np.uint16) * 1000, [1000, 2000]),
        (palette(classes(2, 1, ring=1), VOC), [1, 2, 255]),
        (palette(classes(2, 1), VOC).convert("RGB"), [128, 128 * 256]),  # red, and 256 times green
    ],
)
def test_each_value_is_an_instance(tmp_path: Path, picture: Any, ids: list[int]) -> None:
    (path,) = save(tmp_path, picture)
    read = read_masks([path], values("ids"))
    assert len(read.masks) == len(ids)
    with Image.open(path) as image:
        raw = np.asarray(image).astype(int)
    if raw.ndim == 3:
        raw = raw @ [1, 256, 65536]
    for mask, number in zip(read.masks, ids, strict=True):
        np.testing.assert_array_equal(mask, (raw == number).astype(np.float32))


def test_an_ignored_value_is_no_instance(tmp_path: Path) -> None:
    (path,) = save(tmp_path, classes(3, 5, ring=2))
    read = read_masks([path], values({"object": "ids", "ignore": [255]}))
    assert len(read.masks) == 2
    np.testing.assert_array_equal(read.ignore, classes(3, 5, ring=2) == 255)


def test_ids_without_an_instance_are_empty(tmp_path: Path) -> None:
    (path,) = save(tmp_path, classes(255))
    with pytest.raises(DataError, match="empty mask"):
        read_masks([path], values({"object": "ids", "ignore": [255]}))


def test_several_files_are_several_masks_without_the_empty_ones(tmp_path: Path) -> None:
    shapes = [disc(5), disc(5) & False, disc(9)]
    read = read_masks(save(tmp_path, *(shape * np.uint8(255) for shape in shapes)))
    np.testing.assert_array_equal(read.masks, np.stack([shapes[0], shapes[2]]).astype(np.float32))
    assert read.empty == 1
    with pytest.raises(DataError, match=r"empty mask: .*0\.png, .*1\.png; mark"):
        read_masks(save(tmp_path, *[disc() & np.uint8(0)] * 2))


def test_files_of_two_sizes_are_named(tmp_path: Path) -> None:
    paths = save(tmp_path, np.full((4, 6), 255, np.uint8), np.full((6, 4), 255, np.uint8))
    with pytest.raises(DataError, match=r"of one size, got width x height 6x4 in .*0\.png and 4x6 in .*1\.png"):
        read_masks(paths)


def test_no_more_masks_than_asked_and_always_the_same_ones(tmp_path: Path) -> None:
    (path,) = save(tmp_path, classes(1, 2, 3, 4, 5))
    drawn = {}
    for photo in map(str, range(20)):
        first, second = (read_masks([path], values("ids"), 2, photo).masks for _ in range(2))
        np.testing.assert_array_equal(first, second)
        drawn[photo] = [int(classes(1, 2, 3, 4, 5)[mask > 0][0]) for mask in first]
    assert all(ids == sorted(set(ids)) for ids in drawn.values())
    assert {each for ids in drawn.values() for each in ids} == {1, 2, 3, 4, 5}
