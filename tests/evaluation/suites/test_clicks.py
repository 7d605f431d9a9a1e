"""The clicks of the suite are those of a plain loop over one mask; its numbers are of the IoU after each click."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from torch.nn import functional as F

from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.suites import ClickSuite
from hqsam_lightning.types import PromptGroup
from sets_of_photos import Blobs, run, setting_of

CLICKS = 4


def plain_ious(model: Model, index: int, number: int, row: tuple[str, str], feed_back: bool) -> list[float]:
    """One mask of one photo, clicked by scipy's distances and the heads themselves."""
    sample, side = Blobs()[index], model.sam.image_size
    target = sample.masks[number] > 0.5
    image = torch.from_numpy(sample.image).permute(2, 0, 1)[None].float()
    frame = F.interpolate(image, (side, side), mode="bilinear", align_corners=False).to(torch.uint8)
    features = model.sam.encode(frame)
    predicted, points, labels, ious, previous = np.zeros_like(target), [], [], [], None
    for _ in range(CLICKS):
        missed, covered = (
            distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1] for part in (target & ~predicted, predicted & ~target)
        )
        for x, y in points:
            missed[y, x] = covered[y, x] = 0
        label = int(missed.max() > covered.max())
        y, x = np.unravel_index((missed if label else covered).argmax(), target.shape)
        points.append((int(x), int(y)))
        labels.append(label)
        scale = np.array([side / target.shape[1], side / target.shape[0]])
        coords = torch.tensor((np.array(points) + 0.5) * scale - 0.5, dtype=torch.float32)[None]
        group = PromptGroup(torch.tensor([0]), None, coords, torch.tensor([labels]), previous if feed_back else None)
        found = model.heads[row[0]](model.sam, features, model.sam.encode_prompts([group], torch.tensor([0])))
        previous = found.select(row[1])
        predicted = (F.interpolate(previous, target.shape, mode="bilinear")[0, 0] > 0).numpy()
        ious.append((predicted & target).sum() / (predicted | target).sum())
    return ious


@pytest.mark.parametrize("feed_back", [True, False])
@torch.no_grad()
def test_ious_are_those_of_a_plain_loop(model: Model, feed_back: bool, tmp_path: Path) -> None:
    suite, setting = ClickSuite({"blobs": Blobs()}, CLICKS, feed_back), setting_of(model)
    table, records = run(suite, model, setting)
    assert len(records) == 4 * len(model.rows)
    for record in records:
        _, sample, number = record["mask"]
        expected = plain_ious(model, int(sample[-1]), number, tuple(record["row"]), feed_back)
        assert record["ious"] == pytest.approx(expected, abs=1e-6)
    assert set(table["metric"]) == {"iou_1", "iou_3", "iou_4", "noc90", "noc95", "nof90", "nof95"}
    assert set(table["prompts"]) == {"clicks"}
    last = table[table["metric"] == "iou_4"]["value"].mean()
    assert last == pytest.approx(np.mean([record["ious"][-1] for record in records]))
    suite.write(tmp_path, setting, records)
    curve = pd.read_csv(tmp_path / "iou_by_click.csv")
    assert curve[curve["click"] == 4]["iou"].mean() == pytest.approx(last)
