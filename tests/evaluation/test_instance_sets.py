"""The files of a set of instances: what is read of them, what is refused, and what an evaluation depends on."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from hqsam_lightning.data.framing import Pad
from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.evaluation.scorer import Scorer
from hqsam_lightning.evaluation.suites import InstanceSuite, Setting
from hqsam_lightning.metrics import Metric, mask_iou
from instance_files import SIZES, Entry, small_set


@pytest.fixture
def files(tmp_path: Path) -> SimpleNamespace:
    return small_set(tmp_path)


def setting() -> Setting:
    return Setting(Scorer({"iou": Metric("mIoU", function=mask_iou)}, [], [], Pad(64)), {}, 16)


def test_most_boxes_of_an_image_are_those_of_the_highest_score(files: SimpleNamespace) -> None:
    suite = InstanceSuite(["s"], **files.paths, boxes=files.boxes, max_boxes=2)
    assert [[box.score for box in image.boxes] for image in suite.sets["s"].prompted] == [[0.9, 0.9]] * 3


def test_photos_of_another_size(files: SimpleNamespace) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = files.folder / "0.jpg"
    Image.open(files.folder / "0.png").save(path, exif=exif)
    path.rename(files.folder / "0.png")
    with pytest.raises(DataError, match=r"0\.png: expected height x width 90x120 as the annotations say, got 120x90"):
        InstanceSuite(["s"], **files.paths).examples(setting())[0]
    example = InstanceSuite(["s"], **files.paths, exif="ignore").examples(setting())[0]
    assert example.original_masks is not None
    assert example.original_masks.shape == (2, *SIZES[0])


def test_facts_change_with_each_file_and_option(files: SimpleNamespace) -> None:
    def facts(**options: Any) -> Entry:
        return InstanceSuite(["s"], **files.paths, **options).facts()

    before = facts(boxes=files.boxes)
    assert before == facts(boxes=files.boxes)
    assert before != facts(boxes=files.boxes, max_boxes=3) != facts()
    Path(files.boxes).write_text(json.dumps(files.found[1:]))
    changed = facts(boxes=files.boxes)
    assert changed != before
    with (files.folder / "1.png").open("ab") as file:
        file.write(b"0")
    assert changed != facts(boxes=files.boxes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": []}, "suite.names: expected at least one name, each once; got"),
        ({"names": ["a", "a"]}, "suite.names: expected at least one name, each once"),
        ({"names": ["a", "b"]}, r"suite.annotations: expected @name in the path, one of 2 sets"),
        ({"class_agnostic": True, "federated": True}, "suite.federated: expected false where suite.class_agnostic"),
        ({"max_boxes": 0}, "suite.max_boxes: expected"),
        ({"exif": "?"}, "suite.exif: expected one of apply, ignore"),
    ],
)
def test_options_that_cannot_work(files: SimpleNamespace, options: Entry, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        InstanceSuite(**{"names": ["s"], **files.paths, **options})


def test_files_that_cannot_work(files: SimpleNamespace) -> None:
    with pytest.raises(DataError, match=r"suite.images=.*none of 4 is there, such as 0.png; set suite.images"):
        InstanceSuite(["s"], files.paths["annotations"], str(files.folder / "sub"))
    with pytest.raises(DataError, match=r"gone.json: expected a file.* set suite.boxes to the results file"):
        InstanceSuite(["s"], **files.paths, boxes=str(files.folder / "gone.json"))
    Path(files.boxes).write_text(json.dumps([{**files.found[0], "category_id": 1}]))
    with pytest.raises(DataError, match=r"found.json: expected a box of an image of .*; none can be used"):
        InstanceSuite(["s"], **files.paths, boxes=files.boxes)
