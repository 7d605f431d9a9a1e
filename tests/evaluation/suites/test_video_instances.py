"""YouTube-VIS's suite: perfect and wrong tubes, its results file, a plain computation of the overlaps, bad entries."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faster_coco_eval.core.mask as rle
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from clip_runs import score, setting_of
from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import DataError
from hqsam_lightning.evaluate import evaluate
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.suites import Record, VideoInstanceSuite
from hqsam_lightning.evaluation.table import WHOLE_SET, read_table
from video_files import FRAMES, HEIGHT, WIDTH, annotated, found, moving_labels, results, write_ytvis, ytvis

LABELS = moving_labels()


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., VideoInstanceSuite]:
    def build(content: dict[str, Any] | None = None, tracks: list[Any] | None = None, **options: Any):
        annotations, boxes = write_ytvis(tmp_path, content or ytvis(), tracks)
        own = {"images": str(tmp_path / "images"), "annotations": str(annotations), "boxes": str(boxes), "name": "set"}
        others = {"box_growth": 0.1, "dilation_ratio": 0.02, "frames_at_once": 3, "strict": False}
        return VideoInstanceSuite(**{**own, **others, **options})

    return build


def masks_of(segmentations: list[Any]) -> np.ndarray:
    """(T, H, W) bool."""
    empty = np.zeros((HEIGHT, WIDTH), bool)
    return np.stack([empty if each is None else rle.decode(each).astype(bool) for each in segmentations])


def perfect(records: list[Record]) -> list[Record]:
    """Records as if every track's mask were the true one."""
    return [{**each, "mask_iou": np.eye(2).tolist(), "boundary_iou": np.eye(2).tolist()} for each in records]


@pytest.mark.parametrize("boxes", ["given", "ground_truth", "propagated"])
def test_overlaps_are_those_of_the_masks(make: Callable[..., VideoInstanceSuite], model: Model, boxes: str) -> None:
    suite = make() if boxes == "given" else make(boxes=boxes)
    records = score(suite, model)
    assert [(each["output"], each["clip"]) for each in records] == [
        (output, clip) for clip in ("bear", "dog") for output in ("sam", "hq", "sum")
    ]
    for record in records:
        tubes = [masks_of(track["segmentations"]) for track in record["tracks"]]
        for tube, area, of_row in zip(tubes, record["areas"], record["mask_iou"], strict=True):
            expected = [(tube & (number == LABELS)).sum() / (tube | (number == LABELS)).sum() for number in (1, 2)]
            assert of_row == pytest.approx(expected)
            assert area == pytest.approx(tube[tube.any((1, 2))].sum() / max(1, tube.any((1, 2)).sum()))
        # the square has no box in the last frame, unless it is where it was before
        assert tubes[1][-1].any() <= (boxes == "propagated")
        assert any(tube.any() for tube in tubes)


def test_boundaries_take_the_smaller_iou(make: Callable[..., VideoInstanceSuite], model: Model) -> None:
    for record in score(make(), model):
        assert (np.array(record["boundary_iou"]) <= np.array(record["mask_iou"])).all()


def test_the_table_is_of_the_whole_set(make: Callable[..., VideoInstanceSuite], model: Model) -> None:
    suite = make()
    setting, records = setting_of(model.sam), perfect(score(suite, model))
    table = suite.table(setting, records)
    assert set(table["sample"]) == set(table["group"]) == {WHOLE_SET}
    assert table["thinness"].isna().all()
    names = ["AP", "AP50", "AP75", "AP_S", "AR1", "AR10", "AR100", "AP_B", "AP_B50", "AP_B75", "AP_B_S"]
    for row in model.rows:
        own = table[(table["variant"] == row[0]) & (table["output"] == row[1])]
        assert own["metric"].tolist() == names
        assert set(own["value"]) == {1.0}
    assert {*names} <= {*suite.metrics(setting)}


def test_tracks_of_a_wrong_category_find_nothing(make: Callable[..., VideoInstanceSuite], model: Model) -> None:
    swapped = [{**each, "category_id": 3 - each["category_id"]} for each in results()]
    suite = make(tracks=swapped)
    table = suite.table(setting_of(model.sam), perfect(score(suite, model)))
    assert set(table["value"]) == {0.0}


def test_results_are_written_as_youtube_vis_has_them(
    make: Callable[..., VideoInstanceSuite], model: Model, tmp_path: Path
) -> None:
    suite = make()
    records = score(suite, model)
    suite.write(tmp_path / "out", setting_of(model.sam), records)
    written = json.loads((tmp_path / "out/hq/sum.json").read_text())
    assert [(each["video_id"], each["category_id"], each["score"]) for each in written] == [
        (each["video_id"], each["category_id"], each["score"]) for each in results()
    ]
    assert (
        written[2]["segmentations"]
        == next(each for each in records if (each["output"], each["clip"]) == ("sum", "dog"))["tracks"][0][
            "segmentations"
        ]
    )
    again = make(tracks=written)
    assert not again.left_out()


def test_the_own_track_of_a_crowd_is_not_scored(make: Callable[..., VideoInstanceSuite], model: Model) -> None:
    content = ytvis()
    content["annotations"][0]["iscrowd"] = 1
    first = score(make(content, boxes="ground_truth"), model)[0]
    assert [track["category_id"] for track in first["tracks"]] == [2]
    assert np.array(first["mask_iou"]).shape == (1, 2)


BAD = {
    "unknown video": found(9, LABELS == 1),
    "unknown category": found(1, LABELS == 1, 7),
    "score": found(1, LABELS == 1, score="NaN"),
    "box": found(1, LABELS == 1, bboxes=[[70, 5, 5, 5]] * FRAMES),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_track_is_named(make: Callable[..., VideoInstanceSuite], kind: str) -> None:
    tracks = [*results(), BAD[kind]]
    suite = make(tracks=tracks)
    (left_out,) = suite.left_out()
    assert left_out.startswith("1 clips or entries of set: results.json[4]: ")
    assert "expected a" in left_out
    assert [len(of_clip) for of_clip in suite.tracks.values()] == [2, 2]
    with pytest.raises(DataError, match=r"suite set: 1 problem\(s\).*\n.*results.json\[4\]"):
        make(tracks=tracks, strict=True)


def test_a_bad_object_is_named(make: Callable[..., VideoInstanceSuite]) -> None:
    content = ytvis()
    content["annotations"].append(annotated(3, 1, LABELS == 1, 7))
    assert "instances.json, annotations[4], id 3: expected a category_id" in make(content).left_out()[0]


def test_nothing_to_find(make: Callable[..., VideoInstanceSuite]) -> None:
    with pytest.raises(DataError, match="expected at least one object that is no crowd"):
        make({**ytvis(), "annotations": []})


def test_the_command(make: Callable[..., VideoInstanceSuite], tmp_path: Path) -> None:
    """A clip with a frame that cannot be read is left out: the scores and the results are those of the other."""
    make()
    (tmp_path / "images/bear/00002.png").write_bytes(b"")
    own = {"images": "images", "annotations": "instances.json", "boxes": "results.json"}
    overrides = [f"suite.{key}={tmp_path / name}" for key, name in own.items()]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        others = ["suite=hq_ytvis", "sam=tiny_random", "trainer=cpu", "loader.num_workers=0", "protocols=[pad]"]
        config = compose("evaluate", overrides=[*others, *overrides, f"paths.output_dir={tmp_path / 'out'}"])
    with pytest.raises(DataError, match=r"1 of 2 images left out(.|\n)*clip bear: "):
        evaluate(config)
    table = read_table(tmp_path / "out/scores.csv")
    assert set(table["prompts"]) == {"given@pad"}
    assert {each["video_id"] for each in json.loads((tmp_path / "out/predictions/pad/sam/sam.json").read_text())} == {2}
    assert torch.isfinite(torch.tensor(table["value"])).all()
