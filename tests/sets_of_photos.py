"""Small sets in memory, and how they are evaluated."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hqsam_lightning.data.collate import collate
from hqsam_lightning.data.framing import Frame, Stretch
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.scorer import Scorer
from hqsam_lightning.evaluation.suites import Record, Setting, Suite
from hqsam_lightning.metrics import Metric, boundary_iou, mask_iou
from hqsam_lightning.prompts import PromptMix
from hqsam_lightning.types import Identity, Sample


class Blobs:
    """Photos of noise, each with one or two masks of a rectangle with a corner off; their ids begin with "blobs/"."""

    def __init__(self, count: int = 3, seed: int = 0, shift: int = 0) -> None:
        self.count, self.seed, self.shift = count, seed, shift

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        height, width = 50 + 7 * index, 80 - 5 * index
        rng = np.random.default_rng((self.seed, index))
        masks = np.zeros((1 + index % 2, height, width), np.float32)
        for number, mask in enumerate(masks):
            left = 5 + 30 * number + self.shift
            mask[8 + index : 40, left : left + 28] = 1
            mask[8 + index : 18, left : left + 9] = 0
        return Sample(rng.integers(0, 256, (height, width, 3), np.uint8), masks, f"blobs/{index}", "blobs")

    def identify(self, index: int) -> Identity:
        return Identity(f"blobs/{index}", "blobs", str(index))


def setting_of(model: Model, frame: Frame | None = None) -> Setting:
    """Prompts of boxes, scored by mask and boundary IoU."""
    metrics = {"iou": Metric("mIoU", function=mask_iou), "boundary_iou": Metric("mBIoU", function=boundary_iou)}
    scorer = Scorer(metrics, (), ["box"], frame or Stretch(model.sam.image_size))
    return Setting(scorer, {"box": PromptMix({"box": 1})}, model.sam.mask_input_size)


def run(suite: Suite, model: Model, setting: Setting) -> tuple[pd.DataFrame, Sequence[Record]]:
    """Scores one image after another."""
    examples = suite.examples(setting)
    records = []
    for index in range(len(examples)):
        (found,) = suite.score(setting, collate([examples[index]]), model)
        records += found
    return suite.table(setting, records), records
