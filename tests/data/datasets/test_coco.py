"""COCO's format: the whole file is checked before training, photos are found, and what is left out is counted."""

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from annotated_files import (
    HEIGHT,
    LINE,
    NO_PIXEL,
    SQUARE,
    WIDTH,
    compressed,
    image,
    instance,
    run_lengths,
    some_masks,
    write_coco,
    write_json,
    write_photo,
)
from hqsam_lightning.data.datasets import CocoInstances
from hqsam_lightning.errors import DataError


def ids(photos: CocoInstances) -> list[str]:
    return [photos[index].sample_id for index in range(len(photos))]


def test_real_instances_and_polygons(shared_data: Path) -> None:
    """Polygons next to Pillow's rasteriser, which treats borders otherwise: large objects nearly agree."""
    folder = shared_data / "tiny_coco"
    path = folder / "annotations" / "instances_val2017.json"
    photos = CocoInstances(path, folder / "val2017", max_masks=100, check="full")
    content = json.loads(path.read_text())
    real = [each for each in content["annotations"] if not each["iscrowd"]]
    assert len(photos) == len({each["image_id"] for each in real})
    compared = 0
    for index in range(10):
        sample, stem = photos[index], photos.photos[index].path.stem
        assert sample.sample_id == f"coco/{stem}"
        own = [each for each in real if each["image_id"] == int(stem)]
        assert len(sample.masks) == len(own)
        for mask, annotation in zip(sample.masks, own, strict=True):
            if annotation["area"] < 4000:
                continue
            drawn = Image.new("1", sample.image.shape[1::-1])
            for polygon in annotation["segmentation"]:
                ImageDraw.Draw(drawn).polygon(polygon, fill=1)
            reference = np.asarray(drawn)
            assert (reference & (mask > 0)).sum() / (reference | (mask > 0)).sum() > 0.9
            compared += 1
    assert compared > 5


@pytest.mark.parametrize("form", [run_lengths, compressed])
def test_run_lengths_give_the_size_where_nothing_else_does(tmp_path: Path, form) -> None:
    masks = some_masks(2)
    write_photo(tmp_path / "a.jpg")
    path = write_json(
        tmp_path,
        [{"id": "one", "file_name": "a.jpg", "height": None}],
        [instance(number, "one", form(mask)) for number, mask in enumerate(masks)],
    )
    assert np.array_equal(CocoInstances(path, tmp_path, 2)[0].masks > 0.5, np.stack(masks))
    write_photo(tmp_path / "a.jpg", size=(HEIGHT + 1, WIDTH))
    with pytest.raises(DataError, match=r"expected 'a\.jpg' with height x width 40x56 .* got 41x56"):
        CocoInstances(path, tmp_path, 2)


# --- structure -------------------------------------------------------------------------------------------------------

SOUND = {"images": [image(1, "a.jpg")], "annotations": [instance(1, 1)]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": [image(1, "a.jpg"), image(1, "b.jpg")]}, "image 1: id 1 is there twice"),
        ({"images": [image(1, "a.jpg"), image(2, "./x/../a.jpg")]}, "image 2: its file 'a.jpg' is also that of"),
        ({"images": [image(True, "a.jpg")]}, r"images\[0\]: expected an object with an id"),
        ({"images": [image(1.0, "a.jpg")]}, r"images\[0\]: expected an object with an id"),
        ({"images": [7]}, r"images\[0\]: expected an object with an id .* got 7"),
        ({"images": [image(1, 7)]}, "image 1: expected a file name, got 7"),
        ({"images": [image(1, "")]}, "image 1: expected a file name, got ''"),
        ({"images": [{"id": 1}]}, "image 1: expected a file name, got None"),
        ({"images": [image(1, "a.jpg", height=0)]}, r"expected a height and a width .* got \[0, 56\]"),
        ({"images": [image(1, "a.jpg", height=40.0)]}, r"expected a height and a width .* got \[40\.0, 56\]"),
        ({"images": [image(1, "a.jpg", width=None)]}, r"expected a height and a width .* got \[40, None\]"),
        ({"images": [image(1, "a.jpg", width=10**9, height=10**9)]}, "expected a height and a width"),
        ({"annotations": ["x"]}, r"annotations\[0\]: expected an object, got 'x'"),
        ({"annotations": [instance(1, 2)]}, r"annotations\[0\]: expected an image_id that the file lists, got 2"),
        ({"annotations": [instance(1, [1])]}, r"expected an image_id that the file lists, got \[1\]"),
        ({"annotations": [instance(1, True)]}, "expected an image_id that the file lists, got True"),
        ({"annotations": [instance(1, "1")]}, "expected an image_id that the file lists, got '1'"),
        ({"annotations": [instance(5, 1), instance(5, 1)]}, r"annotations\[1\]: id 5 is there twice"),
        ({"annotations": [instance(1.5, 1)]}, r"expected an id \(integer or text\), got 1\.5"),
        ({"annotations": [instance(1, 1, iscrowd=2)]}, "expected an iscrowd of 0 or 1, got 2"),
        ({"annotations": [instance(1, 1, iscrowd="0")]}, "expected an iscrowd of 0 or 1, got '0'"),
        ({"annotations": [instance(1, 1, [LINE])]}, r"at least 6 numbers.*\[4, 4, 20, 20\] \(image 1, 'a\.jpg'\)"),
        ({"annotations": [instance(1, 1, SQUARE)]}, "expected a list of polygons"),
        ({"annotations": [instance(1, 1, {"size": [9, 9], "counts": [81]})]}, r"image's size .*, got \(9, 9\)"),
        ({"annotations": {}}, "expected a JSON object with lists of images and annotations"),
        ({"annotations": []}, "expected an instance with a segmentation, found none"),
    ],
)
def test_what_is_wrong_with_the_file_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_photo(tmp_path / "a.jpg")
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(SOUND))
    assert len(CocoInstances(path, tmp_path, 1)) == 1
    path.write_text(json.dumps({**SOUND, **changes}))
    with pytest.raises(DataError, match=message) as caught:
        CocoInstances(path, tmp_path, 1)
    assert str(path) in str(caught.value)


def test_all_problems_are_in_one_error(tmp_path: Path) -> None:
    images = [image(number, f"{number}.jpg") for number in range(30)] + [{"id": "nameless"}]
    instances = [instance(number, number, [LINE]) for number in range(29)] + [instance(29, 99)]
    path = write_json(tmp_path, images, instances)
    with pytest.raises(DataError, match=r"instances\.json: 31 problem\(s\); .*data\.exclude") as caught:
        CocoInstances(path, tmp_path, 1)
    assert "image 'nameless': expected a file name" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 22
    assert str(caught.value).endswith("and 11 more")


NO_JSON = {
    "empty": b"",
    "cut": b'{"images": [{"id"',
    "zeros": bytes(100),
    "nan": b'{"images": [], "annotations": NaN}',
    "deep": b"[" * 100_000,
    "digits": b"9" * 5000,
    "bytes": b'{"images": [], "annotations": ["\xff\xfe"]}',
    "page": b"<!DOCTYPE html>",
}


@pytest.mark.parametrize("case", NO_JSON)
def test_what_is_no_json_is_named(tmp_path: Path, case: str) -> None:
    path = tmp_path / "instances.json"
    path.write_bytes(NO_JSON[case])
    with pytest.raises(DataError, match=r"instances\.json: expected"):
        CocoInstances(path, tmp_path, 1)


def test_annotations_that_are_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for name, message in (("absent", "cannot find it"), ("pipe", "a pipe")):
        with pytest.raises(DataError, match=rf"{name}\.json: expected a .*file, .*{message}.*data\.annotations"):
            CocoInstances(tmp_path / f"{name}.json", tmp_path, 1)


# --- file names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../a.jpg", "/etc/a.jpg", "x/../../a.jpg", "..", ".", "x/..", "//a.jpg", "../others/a.jpg", "./../a.jpg"],
)
def test_names_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    write_photo(tmp_path / "a.jpg")
    write_photo(tmp_path / "others" / "a.jpg")
    (tmp_path / "images").mkdir()
    path = write_json(tmp_path, [image(1, name)], [instance(1, 1)])
    with pytest.raises(DataError, match="image 1: expected a file name inside the folder of the images, got"):
        CocoInstances(path, tmp_path / "images", 1)


def test_dots_do_not_leave_the_folder_by_a_link(tmp_path: Path) -> None:
    """`link/../a.jpg` is a.jpg of the folder, not what lies next to the linked folder."""
    write_photo(tmp_path / "elsewhere" / "a.jpg", size=(9, 9))
    (tmp_path / "elsewhere" / "linked").mkdir()
    images = tmp_path / "images"
    write_photo(images / "a.jpg")
    (images / "link").symlink_to(tmp_path / "elsewhere" / "linked")
    photos = CocoInstances(write_json(tmp_path, [image(1, "link/../a.jpg")], [instance(1, 1)]), images, 1)
    assert photos.photos[0].path == images / "a.jpg"


@pytest.mark.parametrize("name", ["a\x00.jpg", "a\n.jpg", "\ud800.jpg", "\x1b[31m.jpg"])
def test_names_are_text(tmp_path: Path, name: str) -> None:
    path = write_json(tmp_path, [image(1, name)], [instance(1, 1)])
    with pytest.raises(DataError, match="expected a file name of UTF-8 text without control characters") as caught:
        CocoInstances(path, tmp_path, 1)
    str(caught.value).encode()


@pytest.mark.parametrize("name", ["a b.jpg", "~/x.jpg", "ü,(1)='q'.jpg", "$5_$10.jpg", "<b>.jpg", "a" * 240 + ".jpg"])
def test_odd_names_are_read(tmp_path: Path, name: str) -> None:
    photos = CocoInstances(write_coco(tmp_path, [name]), tmp_path, 1)
    assert ids(photos) == [f"coco/{name.removesuffix('.jpg')}"]


def test_a_name_too_long_for_the_disk_is_missing(tmp_path: Path) -> None:
    path = write_json(tmp_path, [image(1, "a" * 5000)], [instance(1, 1)])
    with pytest.raises(DataError, match="1 are missing, such as 'aaa"):
        CocoInstances(path, tmp_path, 1)


@pytest.mark.parametrize(("in_file", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC")])
def test_names_may_be_composed_of_other_characters(tmp_path: Path, in_file: str, on_disk: str) -> None:
    write_photo(tmp_path / unicodedata.normalize(on_disk, "é.jpg"))
    path = write_json(tmp_path, [image(1, unicodedata.normalize(in_file, "é.jpg"))], [instance(1, 1)])
    assert len(CocoInstances(path, tmp_path, 1)) == 1


def test_lvis_has_addresses_instead_of_names(tmp_path: Path) -> None:
    write_photo(tmp_path / "train2017" / "000000391895.jpg")
    address = "http://images.cocodataset.org/train2017/000000391895.jpg"
    listed = {"id": 391895, "coco_url": address, "height": HEIGHT, "width": WIDTH}
    path = write_json(tmp_path, [listed], [instance(1, 391895)])
    assert ids(CocoInstances(path, tmp_path, 1)) == ["coco/train2017/000000391895"]


@pytest.mark.parametrize("address", ["http://x/../a.jpg", "", "http://x/", 5, None])
def test_odd_addresses_are_refused(tmp_path: Path, address: object) -> None:
    path = write_json(tmp_path, [{"id": 1, "coco_url": address}], [instance(1, 1)])
    with pytest.raises(DataError, match=r"image 1: expected a file name|1 are missing, such as 'x'"):
        CocoInstances(path, tmp_path, 1)


def test_sample_ids_are_unique(tmp_path: Path) -> None:
    names = ["a/1.jpg", "b/1.jpg", "c.jpg", "c.png", "d.x.jpg"]
    made = ids(CocoInstances(write_coco(tmp_path, names), tmp_path, 1))
    assert made == ["coco/a/1", "coco/b/1", "coco/c.jpg", "coco/c.png", "coco/d.x"]


# --- photos ----------------------------------------------------------------------------------------------------------


def test_missing_photos_are_reported_at_once(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [f"{number}.jpg" for number in range(6)])
    for number in (1, 2):
        (tmp_path / f"{number}.jpg").unlink()
    os.mkfifo(tmp_path / "1.jpg")
    (tmp_path / "2.jpg").mkdir()
    with pytest.raises(DataError, match=r"data\.images=.*the 6 photos .*2 are missing.*'1\.jpg', '2\.jpg'"):
        CocoInstances(path, tmp_path, 1)
    assert len(CocoInstances(path, tmp_path, 1, exclude=["1", "2.jpg"])) == 4


def test_photos_of_another_size_and_damaged_ones_are_in_one_error(tmp_path: Path) -> None:
    path = write_coco(tmp_path, ["0.jpg", "1.jpg", "2.jpg", "3.jpg"])
    write_photo(tmp_path / "0.jpg", size=(80, 56))
    (tmp_path / "1.jpg").write_bytes(b"<html>not found</html>")
    (tmp_path / "2.jpg").write_bytes((tmp_path / "3.jpg").read_bytes()[:-10])
    message = r"(?s)data\.images=.* 2 problem.*'0\.jpg' with height x width 40x56 .* got 80x56.*1\.jpg"
    with pytest.raises(DataError, match=message):
        CocoInstances(path, tmp_path, 1)
    with pytest.raises(DataError, match=r"(?s) 3 problem.*2\.jpg"):
        CocoInstances(path, tmp_path, 1, check="full")
    assert ids(CocoInstances(path, tmp_path, 1, check="full", exclude=["0", "1", "2"])) == ["coco/3"]


def test_what_is_left_out_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_coco(tmp_path, [f"{number}.jpg" for number in range(6)])
    content = json.loads(path.read_text())
    content["annotations"][1]["iscrowd"] = 1
    content["annotations"][2]["segmentation"] = []
    content["annotations"][3]["segmentation"] = [NO_PIXEL]
    content["annotations"][5]["segmentation"] = [LINE]
    content["annotations"].append(instance(9, 0, [NO_PIXEL]))
    path.write_text(json.dumps(content))
    for name in ("unlisted.WEBP", "unlisted.jpg", "._0.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    with caplog.at_level("INFO"):
        assert ids(CocoInstances(path, tmp_path, 2, exclude=["5"], check="full")) == ["coco/0", "coco/4"]
    assert (
        "coco: 6 photos in instances.json, 2 used; left out: 1 photos by data.exclude, 2 photos without an instance, "
        "1 photos whose masks have no pixel, 2 pictures that the file does not list, 1 crowds, "
        "1 annotations without a segmentation, 2 masks without a pixel"
    ) in caplog.text


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg")
    path = write_json(tmp_path, [image(1, "a.jpg")], [instance(1, 1, [NO_PIXEL])])
    with pytest.raises(DataError, match=r"instances\.json: expected an instance with a segmentation, found none"):
        CocoInstances(path, tmp_path, 1)
