"""Sets of photos whose masks are segmented by clicks on the largest error: the protocol of RITM and SegNext."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hqsam_lightning.checks import arguments, integer
from hqsam_lightning.data import DataSets
from hqsam_lightning.data.datasets import SampleSet
from hqsam_lightning.data.framing import Frame
from hqsam_lightning.evaluation.clicks import clicks_needed, next_click
from hqsam_lightning.evaluation.model import Encoded, Model
from hqsam_lightning.evaluation.scorer import ordered_table
from hqsam_lightning.evaluation.suites.base import Record, Setting
from hqsam_lightning.evaluation.suites.masks import MaskSuite
from hqsam_lightning.evaluation.table import Row
from hqsam_lightning.metrics import Quantity, mask_iou
from hqsam_lightning.prompts.drawn_points import DrawnPoints
from hqsam_lightning.storage.files import write_whole
from hqsam_lightning.types import Batch, Example, PromptGroup

THRESHOLDS = {"90": 0.90, "95": 0.95}
CURVE_FILE = "iou_by_click.csv"
Clicks = list[tuple[int, int, int]]
"""(x, y, label) in pixels of the photo."""


class ClickSuite(MaskSuite):
    """Every mask of some sets, segmented by clicks that each correct what the last one left (SegNext, CVPR 2024).

    The first click is the object's deepest point, the next one the middle of the largest error at the photo's own size.
    Each variant and output is clicked for itself. The table has the IoU after 1, 5, ... clicks, the number of clicks to
    an IoU of 0.90 and 0.95 (NoC, `num_clicks` where it is not reached) and the share of masks that fail to (NoF);
    `iou_by_click.csv` the mean IoU after each click. The prompts of the config are not used.

    Args:
        sets: see `MaskSuite`.
        num_clicks: most clicks per mask.
        feed_back: also prompt with the logits of the previous click.
    """

    shows_boxes = False

    @arguments("suite", num_clicks=integer(1, 100))
    def __init__(self, sets: DataSets | Mapping[str, SampleSet], num_clicks: int = 20, feed_back: bool = True) -> None:
        super().__init__(sets)
        self.num_clicks = num_clicks
        self.feed_back = feed_back
        self.shown = sorted({click for click in (1, 3, 5, 10, 20) if click <= num_clicks} | {num_clicks})

    def examples(self, setting: Setting) -> Dataset[Example]:
        """The sets one after the other, each mask once."""
        first = Setting(setting.scorer, {"": DrawnPoints(1)}, setting.mask_input_size)
        return super().examples(first)

    def metrics(self, setting: Setting) -> Mapping[str, Quantity]:
        """IoU after some clicks, and how many were needed."""
        ious = {f"iou_{click}": Quantity(f"mIoU@{click}") for click in self.shown}
        needed = {f"noc{name}": Quantity(f"NoC{name}", False, False) for name in THRESHOLDS}
        failed = {f"nof{name}": Quantity(f"NoF{name}", greater_is_better=False) for name in THRESHOLDS}
        return {**ious, **needed, **failed}

    def score(self, setting: Setting, batch: Batch, model: Model) -> list[list[Record]]:
        """Keeps the IoU after every click, by image."""
        encoded, clicker = model.encode(batch.images), _Clicker(setting.scorer.frame, batch, self)
        found = [(row, clicker.ious(encoded, row)) for row in model.rows]
        samples = list(dict.fromkeys(batch.sample_ids))
        masks = setting.scorer.masks(batch)
        return [
            [
                {"row": row, "mask": list(key[:3]), "facts": list(facts), "ious": of_row[place]}
                for place, (key, facts) in enumerate(masks)
                for row, of_row in found
                if key[1] == sample
            ]
            for sample in samples
        ]

    def table(self, setting: Setting, records: Sequence[Record]) -> pd.DataFrame:
        """A line per mask, variant, output and metric."""
        prompts = "clicks" + setting.scorer.frame.suffix
        lines = [
            (setting.scorer.run, *record["row"], *record["mask"], prompts, name, value, *record["facts"])
            for record in records
            for name, value in self._values(record["ious"]).items()
        ]
        return ordered_table(lines, list(self.sets), [prompts])

    def write(self, folder: Path, setting: Setting, records: Sequence[Record]) -> None:
        """Writes the mean IoU after each click, by set, variant and output."""
        lines = [
            (record["mask"][0], *record["row"], click, iou)
            for record in records
            for click, iou in enumerate(record["ious"], 1)
        ]
        names = ["dataset", "variant", "output", "click", "iou"]
        means = pd.DataFrame(lines, columns=names).groupby(names[:4], sort=False).mean().reset_index()
        write_whole(folder / CURVE_FILE, means.to_csv(index=False).encode())

    def _values(self, ious: Sequence[float]) -> dict[str, float]:
        after = {f"iou_{click}": ious[click - 1] for click in self.shown}
        needed = {f"noc{name}": float(clicks_needed(ious, least)) for name, least in THRESHOLDS.items()}
        failed = {f"nof{name}": float(max(ious) < least) for name, least in THRESHOLDS.items()}
        return {**after, **needed, **failed}


class _Clicker:
    """Clicks on the N masks of a batch.

    Args:
        frame: that the photos were fitted into.
        batch: with original masks.
        suite: says how often, and with what.
    """

    def __init__(self, frame: Frame, batch: Batch, suite: ClickSuite) -> None:
        assert batch.original_masks is not None
        self.frame, self.batch, self.suite = frame, batch, suite
        self.targets = batch.original_masks
        self.image_index = batch.image_index

    def ious(self, encoded: Encoded, row: Row) -> list[list[float]]:
        """IoU of each mask after each click, by one variant and output."""
        clicks: list[Clicks] = [[] for _ in self.targets]
        predicted = [torch.zeros_like(target) for target in self.targets]
        found: list[list[float]] = [[] for _ in self.targets]
        previous: Tensor | None = None
        for _ in range(self.suite.num_clicks):
            for place, mask in enumerate(predicted):
                clicks[place].append(self._next(place, mask, clicks[place]))
            prompts = self._prompts(clicks, previous if self.suite.feed_back else None)
            previous = encoded.logits([prompts], self.image_index, [row[0]])[row]
            predicted = [self.frame.restore(previous[place], mask.shape)[0] for place, mask in enumerate(self.targets)]
            for place, mask in enumerate(predicted):
                found[place].append(self._iou(place, mask))
        return found

    def _next(self, place: int, mask: Tensor, clicks: Clicks) -> tuple[int, int, int]:
        ignore, target = self.batch.original_ignore_of(place), self.targets[place]
        shown = mask if ignore is None else mask & ~ignore
        return next_click(shown.cpu().numpy(), target.cpu().numpy(), [(x, y) for x, y, _ in clicks])

    def _prompts(self, clicks: Sequence[Clicks], previous: Tensor | None) -> PromptGroup:
        """All clicks so far, in the frame."""
        device = self.image_index.device
        values = torch.tensor(np.array(clicks, np.float32), device=device)
        scale = [self.frame.scale(target.shape) for target in self.targets]
        per_pixel = torch.tensor(scale, dtype=torch.float32, device=device)[:, None]
        coords = (values[..., :2] + 0.5) / per_pixel - 0.5
        rows = torch.arange(len(clicks), device=device)
        return PromptGroup(rows, point_coords=coords, point_labels=values[..., 2].long(), masks=previous)

    def _iou(self, place: int, mask: Tensor) -> float:
        ignore = self.batch.original_ignore_of(place)
        pair = mask[None], self.targets[place][None], None if ignore is None else ignore[None]
        return float(mask_iou(*pair))
