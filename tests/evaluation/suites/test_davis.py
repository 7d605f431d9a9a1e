"""DAVIS's suite against a plain loop over frames, objects and methods; what it does with clips that cannot be used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from torch.nn import functional as F

from clip_runs import score, setting_of
from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.evaluate import evaluate
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.suites import DavisSuite, Record, Setting
from hqsam_lightning.evaluation.table import Row, read_table
from hqsam_lightning.metrics import boundary_f, mask_iou
from hqsam_lightning.types import Batch, PromptGroup
from mask_pictures import DAVIS, palette
from video_files import FRAMES, HEIGHT, WIDTH, moving_labels, write_davis

GROWTH = 0.25


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., DavisSuite]:
    """Two clips with two objects each."""
    write_davis(tmp_path)

    def build(**options: Any) -> DavisSuite:
        own = {"images": str(tmp_path / "images"), "annotations": str(tmp_path / "annotations"), "clips": None}
        others = {"mask_values": "ids", "boxes": "propagated", "box_growth": GROWTH, "write_masks": False}
        return DavisSuite(**{**own, **others, "name": "set", "frames_at_once": 3, "strict": False, **options})

    return build


def plain_box(mask: np.ndarray) -> list[float]:
    (rows,), (columns,) = mask.any(1).nonzero(), mask.any(0).nonzero()
    return [columns[0], rows[0], columns[-1], rows[-1]]


def plain_growth(box: list[float]) -> list[float]:
    x0, y0, x1, y1 = box
    dx, dy = GROWTH * (x1 - x0 + 1), GROWTH * (y1 - y0 + 1)
    return [max(0, x0 - dx), max(0, y0 - dy), min(WIDTH - 1, x1 + dx), min(HEIGHT - 1, y1 + dy)]


def plain_masks(model: Model, row: Row, photo: Path, boxes: list[list[float]]) -> np.ndarray:
    """One photo, one method, one prompt at a time; a pixel is of the object with the highest logit, or the first."""
    image = torch.from_numpy(cv2.imread(str(photo))[..., ::-1].copy()).permute(2, 0, 1)[None]
    pixels = F.interpolate(image.float(), (64, 64), mode="bilinear", align_corners=False).to(torch.uint8)
    encoded, logits = model.encode(pixels), []
    for box in boxes:
        corners = torch.tensor([box]) * torch.tensor([64 / WIDTH, 64 / HEIGHT] * 2)
        group = PromptGroup(torch.tensor([0]), boxes=corners.float())
        low = encoded.logits([group], torch.tensor([0]))[row]
        logits.append(F.interpolate(low, (HEIGHT, WIDTH), mode="bilinear", align_corners=False)[0, 0].numpy())
    first, second = logits
    return np.stack([(first > 0) & (first >= second), (second > 0) & (second > first)])


def plain_propagation(model: Model, row: Row, photos: list[Path]) -> list[np.ndarray]:
    """(2, H, W) of each frame but the first."""
    boxes = [plain_growth(plain_box(moving_labels()[0] == number)) for number in (1, 2)]
    found = []
    for photo in photos[1:]:
        masks = plain_masks(model, row, photo, boxes)
        boxes = [plain_growth(plain_box(m)) if m.any() else box for m, box in zip(masks, boxes, strict=True)]
        found.append(masks)
    return found


def scores_of(masks: np.ndarray, number: int, frame: int) -> tuple[float, float]:
    pair = torch.from_numpy(masks[number - 1])[None], torch.from_numpy(moving_labels()[frame] == number)[None]
    return mask_iou(*pair).item(), boundary_f(*pair).item()


def test_propagation_is_a_plain_loop(make: Callable[..., DavisSuite], model: Model) -> None:
    """Frames are encoded three at a time; J and F leave out the first and the last frame."""
    suite = make()
    records = {(r["variant"], r["output"], r["clip"], r["object"]): r for r in score(suite, model)}
    assert len(records) == 3 * 2 * 2
    for row in model.rows:
        predicted = plain_propagation(model, row, list(suite.clips["dog"].photos))
        assert any(masks.any() for masks in predicted)
        for number in (1, 2):
            record = records[(*row, "dog", number - 1)]
            expected = [scores_of(predicted[frame - 1], number, frame) for frame in range(1, FRAMES - 1)]
            assert record["J"] == pytest.approx([j for j, _ in expected], abs=1e-9)
            assert record["F"] == pytest.approx([f for _, f in expected], abs=1e-9)


def test_boxes_of_true_masks_and_of_a_folder_with_them(
    make: Callable[..., DavisSuite], model: Model, tmp_path: Path
) -> None:
    true, given = score(make(boxes="ground_truth"), model), score(make(boxes=str(tmp_path / "annotations")), model)
    assert true == given
    photo = tmp_path / "images/bear/00001.png"
    masks = plain_masks(model, ("hq", "sum"), photo, [plain_box(moving_labels()[1] == number) for number in (1, 2)])
    record = next(r for r in true if (r["output"], r["clip"], r["object"]) == ("sum", "bear", 1))
    assert (record["J"][0], record["F"][0]) == pytest.approx(scores_of(masks, 2, 1), abs=1e-9)


@pytest.mark.parametrize("boxes", ["propagated", "ground_truth"])
def test_a_frame_is_encoded_once_for_all_methods(
    make: Callable[..., DavisSuite], model: Model, monkeypatch: pytest.MonkeyPatch, boxes: str
) -> None:
    encoded, encode = [], Model.encode
    monkeypatch.setattr(Model, "encode", lambda self, images: encoded.append(len(images)) or encode(self, images))
    score(make(boxes=boxes), model)
    assert encoded == [3, 1] * 2


def test_the_table_has_means_over_frames(make: Callable[..., DavisSuite], model: Model) -> None:
    suite = make(boxes="ground_truth")
    records = score(suite, model)
    table = suite.table(setting_of(model.sam), records)
    assert list(table["metric"].unique()) == list(suite.metrics(setting_of(model.sam)))
    line = table[(table["output"] == "hq") & (table["sample"] == "dog") & (table["mask"] == 1)].set_index("metric")
    record = next(r for r in records if (r["output"], r["clip"], r["object"]) == ("hq", "dog", 1))
    j, f = np.mean(record["J"]), np.mean(record["F"])
    assert line["value"][["J", "F", "J&F"]].tolist() == pytest.approx([j, f, (j + f) / 2])
    assert set(line["group"]) == {"dog"}
    assert set(line["prompts"]) == {"ground_truth"}


def test_masks_are_written_as_davis_has_them(make: Callable[..., DavisSuite], model: Model, tmp_path: Path) -> None:
    suite = make(write_masks=True)
    records = score(suite, model)
    suite.write(tmp_path / "out", setting_of(model.sam), records)
    predicted = plain_propagation(model, ("hq", "sum"), list(suite.clips["dog"].photos))
    for frame, masks in enumerate(predicted, start=1):
        picture = Image.open(tmp_path / "out/hq/sum/dog" / f"{frame:05d}.png")
        assert np.array_equal(np.asarray(picture), masks[0] + 2 * masks[1])
        assert picture.getpalette()[:9] == [channel for colour in DAVIS for channel in colour]
    make().write(tmp_path / "none", setting_of(model.sam), score(make(), model))
    assert not (tmp_path / "none").exists()


def test_a_clip_that_breaks_later_is_left_out_as_a_whole(
    make: Callable[..., DavisSuite], model: Model, tmp_path: Path
) -> None:
    (tmp_path / "images/bear/00002.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    first, *others = score(make(), model)
    assert first["unreadable"].startswith("clip bear: ")
    assert {record["clip"] for record in others} == {"dog"}
    with pytest.raises(DataError, match=r"00002.png"):
        score(make(strict=True), model)


def drop_frame(root: Path) -> None:
    (root / "annotations/bear/00002.png").unlink()


def shorten(root: Path) -> None:
    for folder in ("images", "annotations"):
        for frame in (2, 3):
            (root / folder / "bear" / f"{frame:05d}.png").unlink()


@pytest.mark.parametrize(
    ("breaking", "expected"),
    [(drop_frame, "got 3 of them, without 00002"), (shorten, "expected at least 3 frames in .*bear, got 2")],
)
def test_a_bad_clip_is_named(make: Callable[..., DavisSuite], tmp_path: Path, breaking, expected: str) -> None:
    breaking(tmp_path)
    suite = make()
    (left_out,) = suite.left_out()
    assert left_out.startswith("1 clips or entries of set: clip 'bear': ")
    assert list(suite.clips) == ["dog"]
    with pytest.raises(DataError, match=expected):
        make(strict=True)


def test_a_missing_frame_of_another_method(make: Callable[..., DavisSuite], tmp_path: Path) -> None:
    for frame, plane in enumerate(moving_labels()):
        path = tmp_path / "others/dog" / f"{frame:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if frame != 1:
            palette(plane, [(0, 0, 0)] * 256).save(path)
    with pytest.raises(DataError, match=r"2 problem\(s\)(.|\n)*cannot list \S*bear(.|\n)*got none of 00001"):
        make(boxes=str(tmp_path / "others"), strict=True)


def test_no_clip_is_an_error(make: Callable[..., DavisSuite], tmp_path: Path) -> None:
    for name in ("bear", "dog"):
        (tmp_path / "annotations" / name / "00000.png").unlink()
    with pytest.raises(DataError, match=r"suite set: 2 problem\(s\)"):
        make()


@pytest.mark.parametrize("option", [{"mask_values": "soft"}, {"box_growth": -1.0}, {"frames_at_once": 0}])
def test_bad_options(make: Callable[..., DavisSuite], option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"suite.{next(iter(option))}: expected"):
        make(**option)


def test_the_command(tmp_path: Path, make: Callable[..., DavisSuite], monkeypatch: pytest.MonkeyPatch) -> None:
    """DAVIS16's config on clips with one object, scored one by one; one of them has a frame that cannot be read."""
    scored, score_batch = [], DavisSuite.score

    def spy(suite: DavisSuite, setting: Setting, batch: Batch, model: Model) -> list[list[Record]]:
        scored.append(batch.sample_ids)
        return score_batch(suite, setting, batch, model)

    monkeypatch.setattr(DavisSuite, "score", spy)
    write_davis(tmp_path / "single", single=True)
    (tmp_path / "single/images/bear/00001.png").write_bytes(b"")
    own = [f"suite.{key}={tmp_path / 'single' / key}" for key in ("images", "annotations")]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        overrides = ["suite=davis16", "sam=tiny_random", "trainer=cpu", "loader.num_workers=0", "suite.clips=null"]
        config = compose("evaluate", overrides=[*overrides, *own, f"paths.output_dir={tmp_path / 'out'}"])
    with pytest.raises(DataError, match=r"1 of 2 images left out(.|\n)*clip bear: "):
        evaluate(config)
    table = read_table(tmp_path / "out/scores.csv")
    assert scored == [["bear"], ["dog"]]
    assert set(table["sample"]) == {"dog"}
    assert table[table["metric"] == "J&F"]["value"].between(0, 1).all()
    assert r"| J\&F |" in (tmp_path / "out/results.md").read_text()
