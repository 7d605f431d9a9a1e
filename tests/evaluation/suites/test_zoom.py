"""Masks of a suite whose prompts are shown cuts are those that a photo cut out by hand gives, pasted back."""

from collections.abc import Sequence
from pathlib import Path

import faster_coco_eval.core.mask as rle
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from hqsam_lightning import cuts
from hqsam_lightning.data.collate import collate
from hqsam_lightning.data.framing import Pad, Stretch
from hqsam_lightning.data.zoom import cut_photo
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation.clip_boxes import TrueBoxes
from hqsam_lightning.evaluation.clip_prediction import ClipSegmenter
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.suites import DavisSuite, InstanceSuite, MaskSuite
from hqsam_lightning.evaluation.table import Row
from hqsam_lightning.inference import HQSam, SamPredictor
from hqsam_lightning.metrics import mask_iou
from hqsam_lightning.types import Prompt, PromptGroup
from instance_files import small_set
from sets_of_photos import Blobs, run, setting_of
from video_files import write_davis

MARGIN = 0.2


@pytest.fixture(autouse=True)
def small_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The photos of the tests are hardly larger than the least cut."""
    monkeypatch.setattr(cuts, "LEAST_SIDE", 4)


def plain_box(mask: np.ndarray) -> list[float]:
    (rows,), (columns,) = mask.any(1).nonzero(), mask.any(0).nonzero()
    return [columns[0], rows[0], columns[-1], rows[-1]]


def plain_corners(box: Sequence[float], size: Sequence[int]) -> tuple[int, int, int, int]:
    """First and behind the last columns and lines of the cut."""
    x0, y0, x1, y1 = box
    across, down = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    left, top = int(max(0, np.floor(x0 - across))), int(max(0, np.floor(y0 - down)))
    return left, top, int(min(size[1], np.floor(x1 + across) + 1)), int(min(size[0], np.floor(y1 + down) + 1))


def plain_logits(model: Model, row: Row, image: np.ndarray, box: Sequence[float], inclusive: bool) -> np.ndarray:
    """(H0, W0) logits of one box, stretched: -infinity outside of the cut."""
    left, top, right, bottom = plain_corners(box, image.shape)
    part = torch.from_numpy(image[top:bottom, left:right].copy()).permute(2, 0, 1)[None].float()
    pixels = F.interpolate(part, (64, 64), mode="bilinear", align_corners=False).to(torch.uint8)
    scale = np.array([64 / (right - left), 64 / (bottom - top)] * 2)
    behind = np.array([0, 0, inclusive, inclusive])
    corners = (np.array(box) - [left, top, left, top] + behind) * scale - behind
    group = PromptGroup(torch.tensor([0]), boxes=torch.from_numpy(corners[None]).float())
    low = model.encode(pixels).logits([group], torch.tensor([0]))[row]
    whole = np.full(image.shape[:2], -np.inf, np.float32)
    whole[top:bottom, left:right] = F.interpolate(low, (bottom - top, right - left), mode="bilinear")[0, 0]
    return whole


def test_masks_of_photos(model: Model) -> None:
    blobs = Blobs()
    table, _ = run(MaskSuite({"blobs": blobs}), model, setting_of(model, Stretch(64, MARGIN)))
    scores = table[table["metric"] == "iou"].set_index(["variant", "output", "sample", "mask"])["value"]
    seen = []
    for sample in (blobs[index] for index in range(len(blobs))):
        for number, mask in enumerate(sample.masks > 0.5):
            box = plain_box(mask)
            for row in model.rows:
                predicted = torch.from_numpy(plain_logits(model, row, sample.image, box, True) > 0)
                expected = mask_iou(predicted[None], torch.from_numpy(mask)[None]).item()
                assert scores[(*row, sample.sample_id, number)] == pytest.approx(expected, abs=5e-3)
                seen.append(expected)
    assert np.ptp(seen) > 0.05


def test_scores_do_not_depend_on_the_batch(model: Model) -> None:
    """Cuts of several photos, some with two masks, and prompts of two kinds, in one batch and one by one."""
    blobs, setting = Blobs(), setting_of(model, Stretch(64, MARGIN))
    setting.prompts["noisy"] = setting.prompts["box"]  # type: ignore[index]
    suite = MaskSuite({"blobs": blobs})
    alone = run(suite, model, setting)[0]
    examples = suite.examples(setting)
    found = suite.score(setting, collate([examples[index] for index in range(len(examples))]), model)
    together = suite.table(setting, [record for of_image in found for record in of_image])
    assert len(alone) == len(together) == 4 * 2 * 3 * 2
    keys = ["variant", "output", "sample", "mask", "prompts", "metric"]
    pairs = [table.set_index(keys)["value"].sort_index() for table in (alone, together)]
    np.testing.assert_allclose(*pairs, atol=5e-3)


def test_boxes_of_a_detector_are_those_of_the_predictor(model: Model, tmp_path: Path) -> None:
    files = small_set(tmp_path)
    suite = InstanceSuite(["s"], **files.paths, boxes=files.boxes)
    setting = setting_of(model, Pad(64, MARGIN))
    examples = suite.examples(setting)
    small = Model(model.sam, model.heads, masks_at_once=3)
    found = suite.score(setting, collate([examples[index] for index in range(len(examples))]), small)
    predictor = SamPredictor(HQSam(model.sam, model.heads["hq"]))
    for (record,), image in zip(found, suite.sets["s"].prompted, strict=True):
        pixels = np.asarray(Image.open(image.path).convert("RGB"))
        (counts,) = [counts for variant, output, counts in record["masks"] if (variant, output) == ("hq", "sum")]
        for each, text in zip(image.boxes, counts, strict=True):
            left, top, right, bottom = plain_corners(each.box, image.size)
            predictor.set_image(pixels[top:bottom, left:right])
            mask = np.zeros(image.size, bool)
            box = np.array(each.box) - [left, top, left, top]
            mask[top:bottom, left:right] = predictor.predict(box=box, multimask_output=False)[0][0]
            different = mask != rle.decode({"size": list(image.size), "counts": text}).astype(bool)
            # logits of about 0
            assert different.mean() < 0.002


def test_objects_of_clips(model: Model, tmp_path: Path) -> None:
    """Pixels of several objects' cuts belong to that of the highest logit."""
    write_davis(tmp_path)
    folders = {name: str(tmp_path / name) for name in ("images", "annotations")}
    options = {"clips": None, "mask_values": "ids", "boxes": "ground_truth", "box_growth": 0.25, "write_masks": False}
    suite = DavisSuite(**folders, **options, name="set", frames_at_once=3, strict=True)
    clip = suite.clips["dog"]
    frames = list(ClipSegmenter(Stretch(64, MARGIN), model, 3, True)(clip, TrueBoxes()))
    for number, frame in enumerate(frames[:-1]):
        image, targets = clip.read(number)
        boxes = [plain_box(mask) for mask in targets]
        for row in model.rows:
            first, second = (plain_logits(model, row, image, box, False) for box in boxes)
            expected = np.stack([(first > 0) & (first >= second), (second > 0) & (second > first)])
            assert (frame.masks[row].numpy() != expected).mean() < 0.002
    assert any(frame.masks[row].any() for frame in frames for row in model.rows)


def test_what_is_beside_a_box_comes_into_its_cut() -> None:
    """Points on the object belong to the cut, others outside of it are left out; a mask is cut as the photo is."""
    image = np.zeros((100, 200, 3), np.uint8)
    points, labels = torch.tensor([[79.5, 30.0], [10.0, 90.0], [70.0, 40.0]]), torch.tensor([1, 0, 0])
    mask = torch.zeros(1, 100, 100)
    mask[0, 40:60, 30:36] = 5  # lines 40 to 60 and columns 60 to 72 of the photo
    prompt = Prompt(torch.tensor([50.0, 40.0, 69.0, 59.0]), points, labels, mask)
    photo, shown = cut_photo(image, {"box": [prompt]}, Stretch(100, 0))
    cut, found = photo.cuts["box"][0], shown["box"][0]
    assert cut == (50, 30, 30, 30)
    torch.testing.assert_close(
        found.box, torch.tensor([0.0, 10.0, 20.0, 30.0]) / 0.3 - torch.tensor([0.0, 0.0, 1.0, 1.0])
    )
    inside = torch.tensor([[29.5, 0.0], [20.0, 10.0]])
    torch.testing.assert_close(found.point_coords, (inside + 0.5) / 0.3 - 0.5)
    assert found.point_labels.tolist() == [1, 0]
    by_hand = F.interpolate(mask[None], (100, 200), mode="bilinear")[..., 30:60, 50:80]
    by_hand = F.interpolate(by_hand, (100, 100), mode="bilinear")[0] > 2.5
    assert ((found.mask > 2.5) != by_hand).float().mean() < 0.02
    assert by_hand.float().mean() > 0.2


def test_points_alone_have_nothing_to_cut_around() -> None:
    prompt = Prompt(point_coords=torch.zeros(1, 2), point_labels=torch.ones(1, dtype=torch.long))
    with pytest.raises(ConfigError, match=r"^frame: expected photo where prompts have no box, as some of points; .*"):
        cut_photo(np.zeros((9, 9, 3), np.uint8), {"points": [prompt]}, Stretch(64, 0.25))
