"""Files of prompts: every way to write one, and every fault with its place."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hqsam_lightning.errors import DataError
from hqsam_lightning.inference.objects import ObjectPrompt
from hqsam_lightning.prediction.photos import Photo
from hqsam_lightning.prediction.prompt_files import read_prompt_file
from hqsam_lightning.prediction.prompts import PromptedPhotos

PHOTOS = [Photo(name, name.rpartition(".")[0], Path(name)) for name in ("a/x.jpg", "b/x.jpg", "y.png")]
BOX = ObjectPrompt((1, 2, 3, 4))
Read = Callable[..., PromptedPhotos]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def write_and_read(content: Any, instances: Any = None, min_score: float = 0) -> PromptedPhotos:
        path = tmp_path / ("prompts.csv" if isinstance(content, str) else "prompts.json")
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        if instances is not None:
            (tmp_path / "instances.json").write_text(json.dumps(instances))
        listed = None if instances is None else tmp_path / "instances.json"
        return read_prompt_file(path, PHOTOS, listed, min_score)

    return write_and_read


def test_rows_of_one_object_belong_together_and_others_do_not(read: Read) -> None:
    rows = "image,object,x0,y0,x1,y1,x,y,label\ny,cat,,,,,5,6,1\ny,cat,1,2,3,4,,,\ny,cat,,,,,7,8,0\ny,,1,2,3,4,,,\n"
    wanted = read("\ufeff" + rows).wanted["y.png"]
    assert wanted.objects == (ObjectPrompt((1, 2, 3, 4), ((5, 6, 1), (7, 8, 0))), BOX)
    assert wanted.categories == (1, 1)


@pytest.mark.parametrize("name", ["a/x.jpg", "a/x", "./a//x.jpg"])
def test_a_photo_has_several_names(read: Read, name: str) -> None:
    found = read([{"image": name, "box": [1, 2, 3, 4], "category_id": 7}])
    assert [photo.name for photo in found.photos] == ["a/x.jpg"]
    assert (found.wanted["a/x.jpg"].objects, found.wanted["a/x.jpg"].categories) == ((BOX,), (7,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,x0,y0\ny,1,2\n", r"expected rows under the columns image and x0, y0, x1, y1 \(a box\)"),
        ("", "got none"),
        ("image,x0,y0,x1,y1\ny,1,2,3,four\n", "line 2: could not convert"),
        ("image,x0,y0,x1,y1\ny,1,2,3\n", "expected 4 finite numbers"),
        ("image,object,x0,y0,x1,y1\ny,a,1,2,3,4\ny,a,1,2,3,4\n", "line 3: expected one box for each object"),
        ([{"image": "x.jpg", "box": [1, 2, 3, 4]}], r"'x\.jpg' may be a/x\.jpg, b/x\.jpg; write its path"),
        ([{"image": "gone", "box": [1, 2, 3, 4]}], "none is named there"),
        ([{"image": "y", "box": [3, 2, 1, 4]}], r"\[0\]: expected a box .* with x0 < x1"),
        ([{"image": "y", "points": [[1, 2, 3]]}], r"\[0\]: expected a point .* with a label 1"),
        ([{"image": "y", "points": [[1, True, 1]]}], r"\[0\]: expected 3 finite numbers"),
        ([{"image": "y", "boxes": [[1, 2, 3, 4]]}], r"\[0\]: expected a box, points or both"),
        ([{"image": "y", "box": [1, 2, 3, 4], "category_id": "cat"}], r"\[0\]: expected a category_id \(integer\)"),
        ([{"image": 3, "box": [1, 2, 3, 4]}], r"\[0\]: expected the name of an image"),
        ([], "expected a list of objects"),
        ({"image": "y"}, "expected a list of objects"),
    ],
)
def test_a_fault_is_named_with_its_place(read: Read, content: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        read(content)
    assert "prompts." in str(refused.value)


INSTANCES = {
    "images": [{"id": 4, "file_name": "y.png"}, {"id": "s", "file_name": "a/x.jpg"}],
    "categories": [{"id": 3, "name": "cat"}],
}


def test_detections_keep_ids_and_names_and_lose_low_scores(read: Read) -> None:
    results = [{"image_id": 4, "bbox": [1, 2, 2, 2], "category_id": 3, "score": score} for score in (0.5, 0.49)]
    found = read([*results, {"image_id": "s", "bbox": [1, 2, 2, 2]}], INSTANCES, min_score=0.5)
    assert {name: wanted.objects for name, wanted in found.wanted.items()} == {"y.png": (BOX,), "a/x.jpg": (BOX,)}
    assert found.image_ids == {"y.png": 4, "a/x.jpg": "s"}
    assert found.categories == {3: "cat"}


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"image_id": 5, "bbox": [1, 2, 2, 2]}, r"\[0\]: expected an image_id that instances lists"),
        ({"image_id": [4], "bbox": [1, 2, 2, 2]}, r"\[0\]: expected an image_id that instances lists"),
        ({"image_id": 4, "bbox": [1, 2, 0, 2]}, r"\[0\]: expected a box"),
        ({"image_id": 4}, r"\[0\]: expected 4 finite numbers"),
        ({"image_id": 4, "bbox": [1, 2, 2, 2], "score": "high"}, r"\[0\]: could not convert"),
    ],
)
def test_a_detection_s_fault_is_named(read: Read, result: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read([result], INSTANCES)
