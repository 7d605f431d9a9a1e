"""Predicting photos: the masks are those of the predictor, what is broken is named, and nothing is done twice."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import faster_coco_eval.core.mask as rle
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image

from benchmarks.authors import build_authors_model
from conftest import randomise
from hqsam_lightning.config import conf_dir
from hqsam_lightning.data.reading import read_image
from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.heads import HQHead
from hqsam_lightning.inference import HQSam, SamPredictor
from hqsam_lightning.inference.objects import ObjectPrompt
from hqsam_lightning.inference.zoom import ZoomPredictor
from hqsam_lightning.overrides import as_hydra_takes
from hqsam_lightning.predict import predict
from hqsam_lightning.sam import FrozenSam
from launched import run_command

BOXES = [[3, 4, 30, 25], [10, 2, 38, 30]]
EVERYTHING = (
    *("automatic.points_per_side=4", "automatic.pred_iou_thresh=-100.0", "automatic.stability_score_thresh=0.0"),
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photos of several sizes and formats, one turned by EXIF, and a text file."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    turned = Image.Exif()
    turned[0x0112] = 6
    for number, suffix in enumerate(("png", "jpg", "png", "jpg")):
        image = Image.fromarray(rng.integers(0, 256, (40 + 5 * number, 60 - 4 * number, 3), dtype=np.uint8))
        image.save(folder / f"p{number}.{suffix}", **({"exif": turned} if number == 3 else {}))
    (folder / "notes.txt").write_text("no photo")
    return folder


@pytest.fixture(scope="module")
def weights(tiny_sam: FrozenSam, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole HQ-SAM as the authors' package writes it."""
    head = HQHead(tiny_sam)
    randomise(head, seed=5)
    path = tmp_path_factory.mktemp("weights") / "hq.pth"
    torch.save(build_authors_model(tiny_sam, head).state_dict(), path)
    return path


@pytest.fixture
def config_of(photos: Path, weights: Path, tmp_path: Path) -> Callable[..., DictConfig]:
    def make(*overrides: str, images: Path = photos, **keys: Any) -> DictConfig:
        own = (f"model={weights}", "sam_name=tiny_random", f"images={images}", "device=cpu", "loader.num_workers=0")
        given = [*own, f"paths.output_dir={tmp_path / 'out'}", *overrides]
        given += [f"{key}={json.dumps(value)}" for key, value in keys.items()]
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            return compose("predict", overrides=as_hydra_takes(given, "predict", conf_dir()))

    return make


def expected(weights: Path, path: Path, **prompt: Any) -> np.ndarray:
    """(H, W) logits of the predictor."""
    predictor = SamPredictor(HQSam.from_pretrained(weights, sam="tiny_random"))
    predictor.set_image(read_image(path))
    shown = {name: np.array(value) for name, value in prompt.items()}
    return predictor.predict(**shown, multimask_output=False, return_logits=True)[0][0]


def written(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_everything_written_is_that_of_the_predictor(
    photos: Path, weights: Path, config_of: Callable[..., DictConfig], tmp_path: Path
) -> None:
    kinds = ["masks", "rle", "polygons", "cutouts", "overlays"]
    outcome = predict(config_of("batch_size=3", "prompts_per_call=3", boxes=BOXES, write=kinds))
    assert list(outcome.records) == [f"p{number}.{suffix}" for number, suffix in enumerate(("png", "jpg") * 2)]
    coco = json.loads((tmp_path / "out/coco_rle.json").read_text())
    assert [each["image_id"] for each in coco["annotations"]] == [1, 1, 2, 2, 3, 3, 4, 4]
    annotations = iter(coco["annotations"])
    for image in coco["images"]:
        photo = read_image(photos / image["file_name"])
        assert photo.shape[:2] == (image["height"], image["width"])
        stem = image["file_name"].partition(".")[0]
        assert written(tmp_path / f"out/overlays/{stem}.jpg").shape == photo.shape
        for number, box in enumerate(BOXES):
            logits = expected(weights, photos / image["file_name"], box=box)
            mask = written(tmp_path / f"out/masks/{stem}_{number}.png")
            assert np.array_equal(mask, 255 * (logits > 0))
            cutout = written(tmp_path / f"out/cutouts/{stem}_{number}.png")
            assert np.array_equal(cutout[..., 2::-1], photo)
            assert np.abs(cutout[..., 3] - 255 / (1 + np.exp(-logits.astype(np.float64)))).max() <= 0.51
            found = next(annotations)
            assert np.array_equal(rle.decode(found["segmentation"]), mask // 255)
            assert found["area"] == (mask > 0).sum()
            assert found["bbox"] == list(cv2.boundingRect(mask))


def test_each_box_is_shown_the_photo_around_it(
    photos: Path, weights: Path, config_of: Callable[..., DictConfig], tmp_path: Path
) -> None:
    predict(config_of("frame=box", "margin=0.1", "batch_size=1", boxes=BOXES, write=["masks"]))
    zoom = ZoomPredictor(HQSam.from_pretrained(weights, sam="tiny_random"), 0.1)
    for number, suffix in enumerate(("png", "jpg")):
        photo = read_image(photos / f"p{number}.{suffix}")
        for place, segment in enumerate(zoom.predict(photo, [ObjectPrompt(tuple(box)) for box in BOXES])):
            mask = written(tmp_path / f"out/masks/p{number}_{place}.png") > 0
            assert (mask != segment.whole(photo.shape)).mean() < 0.002


def test_prompts_by_file(photos: Path, weights: Path, config_of: Callable[..., DictConfig], tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_text(
        "image,object,x0,y0,x1,y1,x,y,label,category_id\np1.jpg,a,3,4,30,25,,,,7\np1.jpg,a,,,,,9,9,1,\np2,,,,,,8,9,1,\n"
    )
    outcome = predict(config_of(prompt=str(tmp_path / "prompts.csv")))
    assert list(outcome.records) == ["p1.jpg", "p2.png"]
    assert [each["category_id"] for each in outcome.objects] == [7, 1]
    both = expected(weights, photos / "p1.jpg", box=BOXES[0], point_coords=[[9, 9]], point_labels=[1])
    assert np.array_equal(written(tmp_path / "out/masks/p1.png"), 255 * (both > 0))
    point = expected(weights, photos / "p2.png", point_coords=[[8, 9]], point_labels=[1])
    assert np.array_equal(written(tmp_path / "out/masks/p2.png"), 255 * (point > 0))


def test_a_detectors_results(photos: Path, weights: Path, config_of: Callable[..., DictConfig], tmp_path: Path) -> None:
    results = [
        {"image_id": 40, "category_id": 3, "bbox": [3, 4, 27, 21], "score": 0.9},
        {"image_id": 40, "category_id": 3, "bbox": [0, 0, 9, 9], "score": 0.1},
    ]
    instances = {
        "images": [{"id": 40, "file_name": "p1.jpg"}, {"id": 41, "file_name": "p2.png"}],
        "categories": [{"id": 3, "name": "car"}],
    }
    for name, content in (("results", results), ("instances", instances)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    keys = {"prompt": str(tmp_path / "results.json"), "min_score": 0.5}
    with pytest.raises(DataError, match=r"expected instances=FILE"):
        predict(config_of(**keys))
    predict(config_of(**keys, instances=str(tmp_path / "instances.json")))
    coco = json.loads((tmp_path / "out/coco_rle.json").read_text())
    assert [(each["image_id"], each["category_id"]) for each in coco["annotations"]] == [(40, 3)]
    assert coco["categories"] == [{"id": 3, "name": "car"}]
    mask = expected(weights, photos / "p1.jpg", box=BOXES[0]) > 0
    assert np.array_equal(rle.decode(coco["annotations"][0]["segmentation"]), mask)


def test_coarse_masks_and_everything(config_of: Callable[..., DictConfig], tmp_path: Path) -> None:
    (tmp_path / "coarse").mkdir()
    coarse = np.zeros((40, 60), np.uint8)
    coarse[5:20, 10:40] = 1
    Image.fromarray(coarse).save(tmp_path / "coarse/p0.png")
    outcome = predict(config_of(prompt=str(tmp_path / "coarse")))
    assert [path.name for path in (tmp_path / "out/masks").iterdir()] == ["p0.png"]
    assert list(outcome.records) == ["p0.png"]
    found = predict(config_of(*EVERYTHING, f"paths.output_dir={tmp_path / 'all'}"))
    assert len(found.objects) == len(list((tmp_path / "all/masks").iterdir())) > 4
    tiled = predict(config_of(*EVERYTHING, "tile=32", "overlap=8", f"paths.output_dir={tmp_path / 'tiled'}"))
    assert len(tiled.objects) >= 4


def test_broken_photos_are_named_and_tried_again(
    photos: Path, config_of: Callable[..., DictConfig], tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for path in photos.glob("p*"):
        (images / path.name).write_bytes(path.read_bytes())
    (images / "p1.jpg").write_bytes((photos / "p1.jpg").read_bytes()[:300])
    (images / "text.png").write_text("no photo")
    with pytest.raises(DataError, match=r"images, 2 of 5: 2 problem\(s\)(.|\n)*p1\.jpg: (.|\n)*text\.png: "):
        predict(config_of("write=[masks]", images=images, boxes=BOXES[:1]))
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/masks").iterdir()}
    assert {path.name for path in first} == {"p0.png", "p2.png", "p3.png"}
    (images / "p1.jpg").write_bytes((photos / "p1.jpg").read_bytes())
    (images / "text.png").unlink()
    outcome = predict(config_of("write=[masks]", images=images, boxes=BOXES[:1]))
    assert (outcome.before, len(outcome.records), outcome.failed) == (3, 4, [])
    assert all(path.stat().st_mtime_ns == then for path, then in first.items())
    with pytest.raises(ConfigError, match=r"write: \['masks'\] before, \['rle'\] now"):
        predict(config_of("write=[rle]", images=images, boxes=BOXES[:1]))


KILLED = """
import os, signal
from hqsam_lightning import predict
from hqsam_lightning.cli import run_hydra
from hqsam_lightning.prediction.journal import Journal

add = Journal.add

def add_and_die(journal, records):
    add(journal, records)
    if len(journal.read()) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

Journal.add = add_and_die
run_hydra(predict.main, "predict")
"""


def test_killed_and_continued_no_photo_is_done_twice(
    photos: Path, weights: Path, config_of: Callable[..., DictConfig], tmp_path: Path
) -> None:
    (tmp_path / "killed.py").write_text(KILLED)
    arguments = [
        *(f"model={weights}", "sam_name=tiny_random", f"images={photos}", "device=cpu"),
        *(f"boxes={json.dumps(BOXES)}", f"out={tmp_path / 'out'}", "batch_size=1", "loader.num_workers=0"),
    ]
    process = run_command("killed.py", *arguments, cwd=tmp_path)
    assert process.returncode == -signal.SIGKILL, process.stderr
    journal = tmp_path / "out/photos.jsonl"
    with journal.open("ab") as file:
        file.write(b'{"photo": "cut')
    outcome = predict(config_of(boxes=BOXES))
    assert (outcome.before, outcome.failed) == (2, [])
    names = [json.loads(line)["photo"] for line in journal.read_text().splitlines()]
    assert names == ["p0.png", "p1.jpg", "p2.png", "p3.jpg"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"prompt": "gone.csv"}, r"gone\.csv: expected a file"),
        ({"prompt": "gone.csv", "boxes": BOXES}, r"boxes: expected null beside prompt=gone\.csv"),
        ({"boxes": [[5, 5, 4, 9]]}, r"boxes, points: expected a box \[x0, y0, x1, y1\] with x0 < x1"),
        ({"points": [[5, 5, 2]]}, r"expected a point \[x, y, label\] with a label 1"),
        ({"write": ["cutouts"]}, r"write: expected no cutouts with prompt=everything"),
        ({"frame": "box"}, r"^frame: expected photo with prompt=everything, which has no boxes; got box"),
        ({"frame": "box", "points": [[5, 5, 1]]}, r"^frame: expected photo with points alone; got box"),
        ({"frame": "box", "boxes": BOXES, "tile": 64}, r"^frame: expected photo with tile=64; got box"),
        (
            {"boxes": [[500, 5, 600, 9]]},
            r"images, 4 of 4: (.|\n)*box: expected x0 < x1 and y0 < y1 \(pixels\)",
        ),
    ],
)
def test_what_cannot_work_is_said(config_of: Callable[..., DictConfig], keys: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        predict(config_of(**keys))
