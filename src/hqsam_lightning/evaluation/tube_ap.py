"""Average precision and recall of tubes, as YouTube-VIS and HQ-YTVIS compute them, by COCO's matching of detections."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from hqsam_lightning.errors import DataError

AREAS = {"S": [0, 128**2], "M": [128**2, 256**2], "L": [256**2, 1e5**2]}
"""Small, medium and large tubes: ranges of the mean area in pixels, over the frames that the object is in."""

MAX_TRACKS = (1, 10, 100)
"""How many of a clip's best tracks of a category AR1, AR10 and AR100 count; AP counts the most."""


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tube:
    """An object of a clip, true or predicted.

    Attributes:
        category: id of its category.
        area: mean number of pixels of its masks, over the frames that have any.
        score: the confidence of a predicted one.
        crowd: whether a true one is a crowd, which is neither found nor missed.
    """

    category: int
    area: float
    score: float = 1.0
    crowd: bool = False


@dataclass(frozen=True)
class ClipTubes:
    """What was found in a clip and what is there.

    Attributes:
        tracks: the N predicted tubes.
        targets: the M true tubes.
        ious: (N, M) float64, what tubes are matched by; only pairs of one category count.
    """

    tracks: Sequence[Tube]
    targets: Sequence[Tube]
    ious: np.ndarray


class _TubeEval(COCOeval_faster):
    """COCO's evaluation with IoUs that are given; each clip is an image."""

    def __init__(self, clips: Sequence[ClipTubes], truth: COCO, found: COCO) -> None:
        super().__init__(truth, found, "bbox", ranges=AREAS, print_function=_log.debug)
        self.clips = clips
        self.params.maxDets = list(MAX_TRACKS)

    def computeIoU(self, imgId: int, catId: int) -> np.ndarray:
        """IoUs of one category, (tracks by falling score, targets)."""
        clip = self.clips[imgId]
        rows = [row for row, track in enumerate(clip.tracks) if track.category == catId]
        rows.sort(key=lambda row: -clip.tracks[row].score)
        columns = [column for column, target in enumerate(clip.targets) if target.category == catId]
        return clip.ious[np.ix_(rows[: MAX_TRACKS[-1]], columns)]


def tube_average_precision(clips: Sequence[ClipTubes]) -> dict[str, float]:
    """Computes AP and AR over all clips, the mean over categories that have a true tube.

    Args:
        clips: of a set; the tubes' ids, which break ties of scores, follow this order.

    Returns:
        AP (mean over the IoU thresholds 0.50, 0.55 ... 0.95), AP50, AP75, AP_S, AP_M, AP_L, AR1, AR10 and AR100, each
        in [0, 1]; a range of areas without a true tube has no entry.

    Raises:
        DataError: there is no true tube.
    """
    truth = _as_coco(clips, [clip.targets for clip in clips])
    if not any(not target.crowd for clip in clips for target in clip.targets):
        raise DataError("tube AP: expected at least one annotated object that is no crowd; got none")
    evaluation = _TubeEval(clips, truth, _as_coco(clips, [clip.tracks for clip in clips]))
    evaluation.evaluate()
    evaluation.accumulate()
    # (thresholds, recalls, categories, areas, maximum numbers) and (thresholds, categories, areas, maximum numbers)
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    means = {
        "AP": _mean(precision[..., 0, -1]),
        "AP50": _mean(precision[0, ..., 0, -1]),
        "AP75": _mean(precision[5, ..., 0, -1]),
        **{f"AP_{name}": _mean(precision[..., place, -1]) for place, name in enumerate(AREAS, start=1)},
        **{f"AR{most}": _mean(recall[..., 0, place]) for place, most in enumerate(MAX_TRACKS)},
    }
    return {name: value for name, value in means.items() if value is not None}


def _as_coco(clips: Sequence[ClipTubes], tubes: Sequence[Sequence[Tube]]) -> COCO:
    """The tubes as annotations of one image per clip; a box stands for the tube's area."""
    categories = sorted({tube.category for clip in clips for tube in (*clip.tracks, *clip.targets)})
    listed = [(number, tube) for number, of_clip in enumerate(tubes) for tube in of_clip]
    return COCO(
        {
            "images": [{"id": number} for number in range(len(clips))],
            "categories": [{"id": category} for category in categories],
            "annotations": [
                {
                    "id": key,
                    "image_id": number,
                    "category_id": tube.category,
                    "area": tube.area,
                    "bbox": [0.0, 0.0, tube.area, 1.0],
                    "score": tube.score,
                    "iscrowd": int(tube.crowd),
                }
                for key, (number, tube) in enumerate(listed, start=1)
            ],
        }
    )


def _mean(values: np.ndarray) -> float | None:
    """The mean of the values of categories that have a true tube; None where there is none."""
    present = values[values > -1]
    return float(present.mean()) if present.size else None
