"""DAVIS: the region similarity J and the contour accuracy F of objects in clips, by the official definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch

from hqsam_lightning.checks import arguments, choice, integer, number, path
from hqsam_lightning.data.clips import Clip, FolderClip, find_clips
from hqsam_lightning.data.label_files import palette_png
from hqsam_lightning.data.mask_values import MaskValues
from hqsam_lightning.data.segmentations import decode, encode
from hqsam_lightning.evaluation.clip_boxes import GIVEN, GROUND_TRUTH, PROPAGATED, ClipBoxes, box_around, boxes_from
from hqsam_lightning.evaluation.clip_prediction import ClipSegmenter
from hqsam_lightning.evaluation.scorer import ordered_table
from hqsam_lightning.evaluation.suites.base import Record, Setting
from hqsam_lightning.evaluation.suites.clips import ClipSuite
from hqsam_lightning.metrics import Quantity, boundary_f, mask_iou
from hqsam_lightning.metrics.sequences import summarise_sequence
from hqsam_lightning.shapes import thinness
from hqsam_lightning.storage.files import write_whole

METRICS: Mapping[str, Quantity] = {
    "J&F": Quantity("J&F"),
    "J": Quantity("J"),
    "F": Quantity("F"),
    "J_recall": Quantity("J recall"),
    "F_recall": Quantity("F recall"),
    "J_decay": Quantity("J decay", greater_is_better=False),
    "F_decay": Quantity("F decay", greater_is_better=False),
}


class DavisSuite(ClipSuite):
    """Every object of some clips; means are over objects.

    Args:
        images: folder with a folder of photos for each clip.
        annotations: folder with a folder of masks for each clip.
        clips: text file with the names of clips; None takes all.
        mask_values: nonzero (one object per clip, DAVIS16) or ids (DAVIS17).
        boxes: propagated; ground_truth; or a folder of another method's masks, laid out as the annotations are.
        box_growth: see `PropagatedBoxes`.
        write_masks: whether to write what is predicted, laid out as the annotations are.
        name: of the set, in tables.
        frames_at_once: frames per forward pass.
        strict: whether a clip that cannot be used is an error.
    """

    @arguments(
        "suite",
        images=path(),
        annotations=path(),
        mask_values=choice("nonzero", "ids"),
        boxes=path(),
        box_growth=number(0, 10),
        frames_at_once=integer(1),
    )
    def __init__(
        self,
        images: str,
        annotations: str,
        clips: str | None,
        mask_values: str,
        boxes: str,
        box_growth: float,
        write_masks: bool,
        name: str,
        frames_at_once: int,
        strict: bool,
    ) -> None:
        others = None if boxes in (PROPAGATED, GROUND_TRUTH) else Path(boxes)
        names = None if clips is None else Path(clips)
        found, problems = find_clips(Path(images), Path(annotations), MaskValues(mask_values), names, others)
        files = [each for clip in found for each in (*clip.annotations, *clip.others)]
        super().__init__(name, boxes if others is None else GIVEN, found, problems, files, frames_at_once, True, strict)
        self.growth, self.write_masks = box_growth, write_masks

    def facts(self) -> dict[str, object]:
        """Those of the clips, how the boxes grow, and whether masks are kept."""
        return {**super().facts(), "box_growth": self.growth, "write_masks": self.write_masks}

    def boxes_of(self, clip: Clip) -> ClipBoxes:
        """See `boxes` of the class."""
        others = cast(FolderClip, clip)
        return boxes_from(
            self.boxes, self.growth, lambda frame: [box_around(mask) for mask in others.other_masks(frame)]
        )

    def score_clip(self, clip: Clip, segmenter: ClipSegmenter) -> Iterator[Record]:
        """Keeps J and F of every frame by (variant, output) and object, and the masks where they are wanted."""
        rows = segmenter.model.rows
        values: list[list[torch.Tensor]] = []
        masks: list[list[list[dict[str, Any]]]] = []
        for frame in segmenter(clip, self.boxes_of(clip)):
            predicted = torch.stack([frame.masks[row] for row in rows], dim=1)
            pairs = list(zip(predicted, frame.targets[:, None], strict=True))
            values.append([torch.stack([mask_iou(*pair), boundary_f(*pair)], dim=-1).cpu() for pair in pairs])
            if self.write_masks:
                masks.append([[encode(mask) for mask in of_object] for of_object in predicted.cpu().numpy()])
        thin = [thinness(mask) for mask in clip.masks(0)]
        for place in range(len(clip.objects)):
            # (scored frames, rows, J and F)
            scored = torch.stack([of_frame[place] for of_frame in values[1:-1]])
            for column, (variant, output) in enumerate(rows):
                j, f = scored[:, column].T.tolist()
                about = {"clip": clip.name, "object": place, "thinness": thin[place]}
                own = [of_frame[place][column] for of_frame in masks]
                yield {"variant": variant, "output": output, **about, "J": j, "F": f, "masks": own}

    def metrics(self, setting: Setting) -> Mapping[str, Quantity]:
        """J, F and their mean, with recall and decay."""
        return METRICS

    def table(self, setting: Setting, records: Sequence[Record]) -> pd.DataFrame:
        """The lines, by clip, object, method and metric."""
        prompts = self.boxes + setting.scorer.frame.suffix
        lines = [
            (
                *(setting.scorer.run, record["variant"], record["output"], self.name, record["clip"], record["object"]),
                *(prompts, name, value, record["thinness"], record["clip"]),
            )
            for record in records
            for name, value in _measures(record["J"], record["F"]).items()
        ]
        return ordered_table(lines, [self.name], [prompts])

    def write(self, folder: Path, setting: Setting, records: Sequence[Record]) -> None:
        """Writes the masks where they are wanted: VARIANT/OUTPUT/CLIP/FRAME.png, objects numbered from 1."""
        clips: dict[tuple[str, str, str], list[Record]] = {}
        for record in records if self.write_masks else ():
            clips.setdefault((record["variant"], record["output"], record["clip"]), []).append(record)
        for (variant, output, name), objects in clips.items():
            for frame, photo in enumerate(self.clips[name].photos):
                masks = [each["masks"][frame] for each in objects]
                labels = np.zeros(masks[0]["size"], np.uint8)
                for label, mask in enumerate(masks, start=1):
                    labels[decode(mask, labels.shape)] = label
                write_whole(folder / variant / output / name / f"{photo.stem}.png", palette_png(labels))


def _measures(j: Sequence[float], f: Sequence[float]) -> dict[str, float]:
    """The values of `METRICS` of one object, by its J and F in every scored frame."""
    found = {"J": summarise_sequence(j), "F": summarise_sequence(f)}
    values = {"J&F": (found["J"].mean + found["F"].mean) / 2}
    for name, summary in found.items():
        values |= {name: summary.mean, f"{name}_recall": summary.recall, f"{name}_decay": summary.decay}
    return {name: values[name] for name in METRICS}
