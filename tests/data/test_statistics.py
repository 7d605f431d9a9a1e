"""`data summary` measures the objects that are there."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from hqsam_lightning.config import conf_dir
from hqsam_lightning.data.__main__ import summary
from hqsam_lightning.data.sets import folder_sets
from hqsam_lightning.data.statistics import measure_sets
from hqsam_lightning.errors import DataError

SQUARE, LINE = np.zeros((60, 80), np.uint8), np.zeros((60, 80), np.uint8)
SQUARE[10:50, 20:60] = LINE[30, 5:45] = 255


def put(folder: Path, *masks: np.ndarray) -> None:
    for part in ("images", "masks"):
        (folder / part).mkdir(exist_ok=True)
    for number, mask in enumerate(masks):
        Image.new("RGB", (80, 60)).save(folder / "images" / f"{number}.jpg")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")


def run(folder: Path, *overrides: str) -> pd.DataFrame:
    given = ["data=folder", f"paths.data_dir={folder}", f"out={folder / 'out'}", *overrides]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return summary(compose("data_summary", overrides=given))


def test_sizes_and_thinness_of_known_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, SQUARE, SQUARE, SQUARE, LINE)
    (line,) = run(tmp_path).to_dict("records")
    assert (line["part"], line["set"], line["photos"], line["objects"]) == ("train", "folder", 4, 4)
    assert line["median side"] == 40
    assert line["share p50"] == pytest.approx(1600 / 4800)
    assert line["thin"] == 0.25
    objects = pd.read_csv(tmp_path / "out/objects.csv")
    assert list(objects["area"]) == [1600, 1600, 1600, 40]
    # an opening by the disc of radius 2 takes three pixels of each corner and the whole line
    disc = np.array([[x**2 + y**2 <= 4 for x in range(-2, 3)] for y in range(-2, 3)], np.uint8)
    left = (cv2.morphologyEx(SQUARE, cv2.MORPH_OPEN, disc) > 0).sum()
    assert list(objects["thinness"]) == pytest.approx([1 - left / 1600] * 3 + [1])
    with Image.open(tmp_path / "out/summary.png") as plot:
        assert plot.size == (1650, 600)
    assert (tmp_path / "out/data/train_folder.jpg").is_file()
    assert list(pd.read_csv(tmp_path / "out/sets.csv").columns) == list(line)
    assert "1 contact sheets in" in capsys.readouterr().out


def test_a_bounded_number_of_photos_is_spread_over_the_set(tmp_path: Path) -> None:
    put(tmp_path, *[SQUARE] * 10)
    sets = folder_sets({"birds": {"images": "images", "masks": "masks"}}, ["birds"], [], str(tmp_path), holdout=0)
    objects, problems = measure_sets(sets, 3)
    assert list(objects["sample"]) == ["birds/0", "birds/3", "birds/6"]
    assert problems == []


def test_a_photo_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    put(tmp_path, SQUARE, SQUARE, SQUARE * 0)
    with pytest.raises(DataError, match=r"photos that cannot be measured: 1 problem.*\n  - folder: empty mask.*2\.png"):
        run(tmp_path, "data.check=quick", "data.catalogue.folder.mask_values=soft")
