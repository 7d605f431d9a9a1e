"""Annotations that are broken are refused together; a detector's entries that are, are left out and described."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotated_files import HEIGHT, NO_PIXEL, SQUARE, WIDTH, compressed, image, instance, run_lengths, some_masks
from hqsam_lightning.data.instances_json import FoundBox, read_found_boxes, read_instances, true_box
from hqsam_lightning.data.segmentations import decode
from hqsam_lightning.errors import DataError

Entry = dict[str, Any]
LVIS = {"neg_category_ids": [3], "not_exhaustive_category_ids": []}


def truth(**fields: Any) -> Entry:
    """Two images, the second with an object and a crowd."""
    mask = some_masks(1)[0]
    return {
        "images": [image(0, "a.jpg", **fields), image(7, "sub/b.jpg", **fields)],
        "annotations": [
            instance(0, 7, category_id=3, area=99.5),
            instance(5, 7, run_lengths(mask), category_id=0) | {"iscrowd": 1},
        ],
        "categories": [{"id": 0, "frequency": "r"}, {"id": 3, "frequency": "f"}],
    }


def write(folder: Path, content: Any, name: str = "file.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def test_objects_are_read_with_their_areas(tmp_path: Path) -> None:
    found = read_instances(write(tmp_path, truth()))
    assert list(found.images) == [0, 7]
    assert (found.images[7].name, found.images[7].size) == ("sub/b.jpg", (HEIGHT, WIDTH))
    assert found.images[7].entry == {"id": 7, "height": HEIGHT, "width": WIDTH}
    assert found.categories == [{"id": 0}, {"id": 3}]
    square, crowd = found.images[7].objects
    mask = some_masks(1)[0]
    assert (square["area"], square["iscrowd"], square["category_id"]) == (99.5, 0, 3)
    assert (crowd["area"], crowd["iscrowd"], crowd["segmentation"]) == (mask.sum(), 1, compressed(mask))
    assert decode(square["segmentation"], (HEIGHT, WIDTH)).sum() == 16 * 16


def test_lvis_has_lists_and_frequencies(tmp_path: Path) -> None:
    found = read_instances(write(tmp_path, truth(**LVIS)), federated=True)
    assert found.images[0].entry == {"id": 0, "height": HEIGHT, "width": WIDTH, **LVIS}
    assert found.categories == [{"id": 0, "frequency": "r"}, {"id": 3, "frequency": "f"}]
    # whose images have no file name, but the address of one
    by_address = truth(**LVIS, coco_url="http://images.cocodataset.org/val2017/c.jpg", file_name=None)
    by_address["images"].pop()
    by_address["annotations"] = []
    assert read_instances(write(tmp_path, by_address), federated=True).images[0].name == "val2017/c.jpg"


def test_categories_need_not_be_there_where_none_counts(tmp_path: Path) -> None:
    content = truth()
    del content["categories"], content["annotations"][0]["category_id"]
    found = read_instances(write(tmp_path, content), class_agnostic=True)
    assert found.categories == [{"id": 1}]
    assert {each["category_id"] for each in found.images[7].objects} == {1}


BROKEN: dict[str, tuple[Callable[[Entry], Any], str]] = {
    "repeated image": (lambda content: content["images"].append(image(7, "c.jpg")), r"image 7: id 7 is there twice"),
    "name of an image": (lambda content: content["images"][0].update(id="a"), r"image 'a': expected an integer id"),
    "no size": (lambda content: content["images"][0].update(height=None, width=None), r"image 0: expected a height"),
    "unknown image": (lambda content: content["annotations"][0].update(image_id=9), r"\[0\]: expected an image_id"),
    "repeated object": (lambda content: content["annotations"][1].update(id=0), r"\[1\]: id 0 is there twice"),
    "category": (
        lambda content: content["annotations"][0].update(category_id=2),
        r"\[0\]: expected a category_id .* 2",
    ),
    "no category": (
        lambda content: content["annotations"][0].pop("category_id"),
        r"\[0\]: expected a category_id .*None",
    ),
    "repeated category": (
        lambda content: content["categories"].append({"id": 3}),
        r"categories\[2\]: id 3 is there twi",
    ),
    "category without id": (lambda content: content["categories"].append({}), r"categories\[2\]: expected an id"),
    "area": (
        lambda content: content["annotations"][0].update(area=-1),
        r"\[0\]: expected an area \(number >= 0\), got -1",
    ),
    "no mask": (
        lambda content: content["annotations"][0].update(segmentation=None),
        r"\[0\]: expected polygons or run l",
    ),
    "run lengths of another size": (
        lambda content: content["annotations"][1].update(segmentation=compressed(np.ones((9, 9), bool))),
        r"\[1\]: expected run lengths of the image's size .*\(image 7, 'sub/b.jpg'\)",
    ),
    "run lengths": (
        lambda content: content["annotations"][1]["segmentation"]["counts"].append(4),
        r"\[1\]: expected counts that add up to 2240 pixels",
    ),
    "crowd": (lambda content: content["annotations"][0].update(iscrowd=2), r"\[0\]: expected an iscrowd of 0 or 1"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=list(BROKEN))
def test_broken_annotations_are_refused(tmp_path: Path, change: Callable[[Entry], Any], message: str) -> None:
    content = truth()
    change(content)
    with pytest.raises(DataError, match=rf"file\.json: \d problem\(s\); repair or download [^$]*{message}"):
        read_instances(write(tmp_path, content))


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        ("images", {"neg_category_ids": None}, r"image 0: expected neg_category_ids, a list of categories; got None"),
        ("images", {"not_exhaustive_category_ids": ["r"]}, r"image 0: expected not_exhaustive_category_ids"),
        ("categories", {"frequency": "x"}, r"categories\[0\]: expected a frequency of r, c, f; got 'x'"),
    ],
)
def test_broken_lvis(tmp_path: Path, place: str, change: Entry, message: str) -> None:
    content = truth(**LVIS)
    content[place][0] |= change
    with pytest.raises(DataError, match=message):
        read_instances(write(tmp_path, content), federated=True)


def test_all_problems_are_in_one_error(tmp_path: Path) -> None:
    content = truth()
    content["annotations"][0]["image_id"] = 9
    content["annotations"][1]["category_id"] = 9
    with pytest.raises(DataError, match=r"2 problem\(s\)[^$]*\[0\]: .*\n.*\[1\]: "):
        read_instances(write(tmp_path, content))


GOOD = {"image_id": 7, "category_id": 3, "bbox": [1, 2, 10.5, 20], "score": 0.5}
ENTRIES = {
    "no object": (7, "expected an object, got 7"),
    "unknown image": (GOOD | {"image_id": 8}, "expected an image_id that the annotations list, got 8"),
    "image as text": (GOOD | {"image_id": "7"}, "expected an image_id that the annotations list, got '7'"),
    "category that is not there": (
        GOOD | {"category_id": 1},
        "expected a category_id that the annotations list, got 1",
    ),
    "NaN": (GOOD | {"score": float("nan")}, "expected a score (finite number), got nan"),
    "infinite": (GOOD | {"score": float("inf")}, "expected a score (finite number), got inf"),
    "no score": (
        {key: GOOD[key] for key in ("image_id", "category_id", "bbox")},
        "expected a score (finite number), got",
    ),
    "outside": (GOOD | {"bbox": [60, 2, 5, 5]}, "with an area inside the frame of 56x40 pixels, got [60, 2, 5, 5]"),
    "without area": (GOOD | {"bbox": [6, 2, 5, 0]}, "with an area inside the frame of 56x40 pixels, got [6, 2, 5, 0]"),
    "three numbers": (
        GOOD | {"bbox": [6, 2, 5]},
        "expected a box [x, y, width, height] of finite numbers, got [6, 2, 5]",
    ),
    "NaN in a box": (GOOD | {"bbox": [6, 2, 5, float("nan")]}, "of finite numbers, got [6, 2, 5, nan]"),
}


@pytest.mark.parametrize(("entry", "message"), ENTRIES.values(), ids=list(ENTRIES))
def test_entries_that_cannot_be_used_are_left_out(tmp_path: Path, entry: Any, message: str) -> None:
    instances = read_instances(write(tmp_path, truth()))
    found, (problem,) = read_found_boxes(write(tmp_path, [GOOD, entry, GOOD | {"score": 1}], "found.json"), instances)
    assert problem.startswith("[1]: ")
    assert message in problem
    assert found == {7: [FoundBox((1, 2, 11.5, 22), 3, 0.5), FoundBox((1, 2, 11.5, 22), 3, 1.0)]}


def test_boxes_are_cut_off_at_the_frame(tmp_path: Path) -> None:
    instances = read_instances(write(tmp_path, truth()))
    entries = [GOOD | {"bbox": [-4, -3, 900, 30]}]
    assert read_found_boxes(write(tmp_path, entries), instances)[0][7][0].box == (0, 0, WIDTH, 27)


def test_categories_are_not_looked_at_where_none_counts(tmp_path: Path) -> None:
    instances = read_instances(write(tmp_path, truth()), class_agnostic=True)
    found, problems = read_found_boxes(write(tmp_path, [GOOD | {"category_id": "?"}]), instances, class_agnostic=True)
    assert (found[7][0].category, problems) == (1, [])


@pytest.mark.parametrize("content", [[], {"annotations": []}, 4], ids=str)
def test_files_that_are_no_detections(tmp_path: Path, content: Any) -> None:
    instances = read_instances(write(tmp_path, truth()))
    with pytest.raises(DataError, match=r"file\.json: expected a list of detections"):
        read_found_boxes(write(tmp_path, content), instances)


def test_true_boxes_are_those_around_masks(tmp_path: Path) -> None:
    content = truth()
    content["annotations"].append(instance(6, 7, [NO_PIXEL], category_id=3))
    square, crowd, nothing = read_instances(write(tmp_path, content)).images[7].objects
    assert true_box(square) == FoundBox((4, 4, 20, 20), 3, 1.0)
    assert SQUARE[:2] == [4, 4]
    assert (true_box(crowd), true_box(nothing)) == (None, None)
