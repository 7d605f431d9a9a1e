"""Average precision of scored instance masks: COCO's, boundary AP, and LVIS's by frequency of the category.

Matching and accumulation are faster-coco-eval's. Of its two ways to a boundary the one through OpenCV is taken: its own
(release 1.8) rounds a width of 7.5 pixels to 7, where the definition has 8, and is wrong in frames lower than two
widths.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import faster_coco_eval.core.mask as rle
import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

log = logging.getLogger(__name__)

Entry = Mapping[str, Any]
"""An image, annotation, category or result in COCO's format."""

RESULT = ("image_id", "category_id", "segmentation", "score")
"""What a result has."""
KINDS = {"AP{}": 0.0, "AP_B{}": 0.02, "AP_B{}_strict": 0.01}
"""Dilation ratio of the boundaries by pattern of the metric's name; 0 compares whole masks alone."""
AREAS = ("", "_S", "_M", "_L")
"""Objects of all sizes; under 32^2 pixels, up to 96^2, and larger."""
FREQUENCIES = ("r", "c", "f")
"""LVIS's categories of fewer than 10 training images (rare), fewer than 100 (common), and 100 or more (frequent)."""
MAX_RESULTS, MAX_FEDERATED_RESULTS = 100, 300
"""How many results count, by score: in COCO of an image and category, in LVIS of an image."""


def average_precision(
    truth: Mapping[str, Sequence[Entry]],
    results: Sequence[Entry],
    *,
    federated: bool = False,
    class_agnostic: bool = False,
) -> dict[str, float]:
    """Computes AP by mask IoU and by boundary IoU at dilation ratios of 0.02 and, strict, 0.01.

    Boundary AP matches by min(mask IoU, boundary IoU); crowds, which are never missed, by their masks alone. Results
    of equal score rank in the order in which they are given, images in that of their ids.

    Args:
        truth: lists of ``images`` (id, height, width), ``annotations`` (image_id, category_id, segmentation as
            compressed run lengths, area, and perhaps iscrowd) and ``categories`` (id), of what is evaluated.
        results: image_id, category_id, segmentation as compressed run lengths, score.
        federated: LVIS's rules. A result counts where its category is annotated in the image or is among the image's
            ``neg_category_ids``; where it is among the ``not_exhaustive_category_ids``, one without a match is no
            mistake. Categories then have a ``frequency`` of r, c or f.
        class_agnostic: takes all categories for one.

    Returns:
        Values in [0, 1] by name: AP, AP50, AP75, AP_S, AP_M, AP_L; federated also AP_r, AP_c, AP_f; then AP_B, AP_B50
        ..., and AP_B_strict, AP_B50_strict .... What has no object in the truth is left out.

    Example:
        >>> mask = {"size": [20, 20], "counts": rle.encode(np.eye(20, dtype=np.uint8))["counts"]}
        >>> object_ = {"image_id": 1, "category_id": 1, "segmentation": mask}
        >>> images, categories = [{"id": 1, "height": 20, "width": 20}], [{"id": 1}]
        >>> truth = {"images": images, "annotations": [{**object_, "area": 20}], "categories": categories}
        >>> values = average_precision(truth, [{**object_, "score": 0.9}])
        >>> round(values["AP"], 3), round(values["AP_B_S_strict"], 3), "AP_L" in values
        (1.0, 1.0, False)
    """
    if federated:
        results = list(_highest(results, MAX_FEDERATED_RESULTS))
    values: dict[str, float] = {}
    for pattern, ratio in KINDS.items():
        evaluation = _evaluate(truth, results, ratio, federated, class_agnostic)
        values |= {pattern.format(part): value for part, value in _summary(evaluation)}
    return values


class _Evaluation(COCOeval_faster):
    """Matches by masks, and where a dilation ratio is not 0 by boundaries too."""

    def computeIoU(self, imgId: int, catId: int) -> Any:
        """(D, G) values of the results of an image and category, by score, and of its objects; empty without any.

        What no threshold accepts by its mask is not compared by its boundary, which takes most of the time.
        """
        ious = super().computeIoU(imgId, catId)
        if len(ious) == 0 or self.boundary_dilation_ratio == 0:
            return ious
        objects, found = (
            dataset.get_instances([imgId], [catId], True)[0][0] for dataset in (self.gt_dataset, self.dt_dataset)
        )
        found = sorted(found, key=lambda each: -each["score"])
        close = (ious >= self.params.iouThrs[0]) & (np.array([each["iscrowd"] for each in objects]) == 0)
        rows, columns = np.flatnonzero(close.any(1)), np.flatnonzero(close.any(0))
        if len(rows):
            one, other = self._boundaries(found, rows), self._boundaries(objects, columns)
            pairs = np.ix_(rows, columns)
            ious[pairs] = np.minimum(ious[pairs], rle.iou(one, other, [0] * len(other)))
        return ious

    def _boundaries(self, annotations: Sequence[Entry], places: np.ndarray) -> list[Any]:
        masks = [annotations[place]["rle"] for place in places]
        return [rle.rleToBoundary(mask, self.boundary_dilation_ratio, "opencv") for mask in masks]


def _highest(results: Sequence[Entry], most: int) -> Iterator[Entry]:
    """The results of each image that are among its `most` of the highest score."""
    by_image = defaultdict(list)
    for each in results:
        by_image[each["image_id"]].append(each)
    for found in by_image.values():
        yield from sorted(found, key=lambda each: -each["score"])[:most]


def _evaluate(
    truth: Mapping[str, Sequence[Entry]],
    results: Sequence[Entry],
    dilation_ratio: float,
    federated: bool,
    class_agnostic: bool,
) -> _Evaluation:
    """Runs one evaluation on copies, which it fills with what it computes."""
    # numbered anew: an id of 0 would count as not matched
    objects = [{"iscrowd": 0, **each, "id": number} for number, each in enumerate(truth["annotations"], start=1)]
    found = [
        {**{key: each[key] for key in RESULT}, "id": number, "area": float(rle.area(each["segmentation"]))}
        for number, each in enumerate(results, start=1)
    ]
    categories = [dict(each) for each in truth["categories"]]
    if class_agnostic:
        categories = [{"id": 1}]
        for each in chain(objects, found):
            each["category_id"] = 1
    common = {"images": [dict(each) for each in truth["images"]], "categories": categories}
    both = (COCO({**common, "annotations": annotations}) for annotations in (objects, found))
    options = {"lvis_style": federated, "boundary_dilation_ratio": dilation_ratio, "print_function": log.debug}
    evaluation = _Evaluation(*both, "segm", **options)
    evaluation.params.maxDets = [MAX_FEDERATED_RESULTS if federated else MAX_RESULTS]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def _summary(evaluation: _Evaluation) -> Iterator[tuple[str, float]]:
    """Mean precisions by what they are of, as in the names of metrics."""
    # IoU thresholds 0.5, 0.55, ..., 0.95 x recalls x categories x sizes
    precision = evaluation.eval["precision"][..., 0]
    parts = {"": precision[..., 0], "50": precision[:1, ..., 0], "75": precision[5:6, ..., 0]}
    parts |= {area: precision[..., place] for place, area in enumerate(AREAS)}
    if evaluation.lvis_style:
        groups = zip(FREQUENCIES, evaluation.freq_groups, strict=True)
        parts |= {f"_{frequency}": precision[:, :, places, 0] for frequency, places in groups}
    for part, values in parts.items():
        defined = values[values > -1]
        if len(defined):
            yield part, float(np.mean(defined))
