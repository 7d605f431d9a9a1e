"""`data check benchmark=NAME` checks the files of every suite where it expects them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from annotated_files import HEIGHT, WIDTH, run_lengths, some_masks
from hqsam_lightning.config import conf_dir
from hqsam_lightning.data.__main__ import check
from hqsam_lightning.data.checking import Checked
from hqsam_lightning.errors import ConfigError
from video_files import FRAMES, write_davis

SHIPPED = "photos"
SUITES = sorted({path.stem for path in (Path(conf_dir()) / "suite").glob("*.yaml")} - {SHIPPED})


def checked(suite: str, folder: Path) -> list[Checked]:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return check(compose("data_check", overrides=[f"benchmark={suite}", f"paths.data_dir={folder}"]))


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_says_what_is_missing(suite: str, tmp_path: Path) -> None:
    found = checked(suite, tmp_path)
    assert found
    for each in found:
        assert str(tmp_path) in each.problems[0]


def test_the_shipped_photographs_are_sound(tmp_path: Path) -> None:
    (found,) = checked(SHIPPED, tmp_path)
    assert (found.name, found.photos, found.problems) == ("photos", 33, [])


def test_an_unknown_suite_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"benchmark: expected one of big, .*; got 'coko'"):
        checked("coko", tmp_path)


def test_the_files_of_suites(tmp_path: Path) -> None:
    photo, (mask,) = np.zeros((HEIGHT, WIDTH, 3), np.uint8), some_masks(1)
    (tmp_path / "BIG/test").mkdir(parents=True)
    Image.fromarray(photo).save(tmp_path / "BIG/test/a_im.jpg")
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "BIG/test/a_gt.png")
    (tmp_path / "coco/annotations").mkdir(parents=True)
    (tmp_path / "coco/val2017").mkdir()
    Image.fromarray(photo).save(tmp_path / "coco/val2017/1.jpg")
    content = {
        "images": [{"id": 1, "file_name": "1.jpg", "height": HEIGHT, "width": WIDTH}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": run_lengths(mask)}],
    }
    (tmp_path / "coco/annotations/instances_val2017.json").write_text(json.dumps(content))
    write_davis(tmp_path / "written")
    for part, name in (("images", "JPEGImages"), ("annotations", "Annotations")):
        shutil.copytree(tmp_path / "written" / part, tmp_path / "DAVIS" / name / "480p")
    (tmp_path / "DAVIS/ImageSets/2017").mkdir(parents=True)
    (tmp_path / "DAVIS/ImageSets/2017/val.txt").write_text("bear\n")
    for suite, name, photos, masks in (
        ("big", "big", 1, 1),
        ("coco", "coco", 1, 1),
        ("coco_masks", "coco", 1, 1),
        ("davis17", "480p", FRAMES, 2),
    ):
        (found,) = checked(suite, tmp_path)
        assert (found.name, found.photos, found.masks, found.problems) == (name, photos, masks, [])
