"""Average precision by its definition, step by step: of masks, of boundaries, and by LVIS's rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import faster_coco_eval.core.mask as rle
import numpy as np
from scipy.ndimage import minimum_filter

Entry = dict[str, Any]
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS = {"": (0, 1e10), "_S": (0, 32**2), "_M": (32**2, 96**2), "_L": (96**2, 1e10)}


def plain_values(truth: Entry, results: list[Entry], ratio: float, federated: bool = False) -> dict[str, float]:
    """AP, AP50 and AP75 of all objects, of each size, and of each frequency, by "", "50", "75", "_S", ..., "_f"."""
    if federated:
        results = _limited(results, 300)
    categories = sorted(truth["categories"], key=lambda each: each["id"])
    of_category = {each["id"]: _Category(truth, results, each["id"], ratio, federated) for each in categories}
    found = {}
    for area, limits in AREAS.items():
        table = np.array([of_category[each["id"]].average(limits) for each in categories])
        found[area] = table.mean(axis=1)[~np.isnan(table[:, 0])]
        if area == "":
            found["50"], found["75"] = (table[:, at][~np.isnan(table[:, 0])] for at in (0, 5))
            for frequency in "rcf" if federated else "":
                own = [each.get("frequency") == frequency for each in categories]
                found[f"_{frequency}"] = table[own].mean(axis=1)[~np.isnan(table[own][:, 0])]
    return {name: values.mean() for name, values in found.items() if len(values)}


class _Category:
    """The objects and results of one category, by image, with the IoU of each pair."""

    def __init__(self, truth: Entry, results: list[Entry], category: int, ratio: float, federated: bool) -> None:
        self.images = []
        for image in sorted(truth["images"], key=lambda each: each["id"]):
            objects, found = (
                [each for each in of if (each["image_id"], each["category_id"]) == (image["id"], category)]
                for of in (truth["annotations"], results)
            )
            found = _limited(found, 300 if federated else 100)
            if federated and not objects and category not in image["neg_category_ids"]:
                found = []
            exhaustive = not federated or category not in image["not_exhaustive_category_ids"]
            masks, true = ([rle.decode(each["segmentation"]).astype(bool) for each in of] for of in (found, objects))
            crowds = [bool(each.get("iscrowd")) for each in objects]
            ious = np.array([[_iou(one, *other, ratio) for other in zip(true, crowds, strict=True)] for one in masks])
            self.images.append((objects, found, ious.reshape(len(found), len(objects)), exhaustive))

    def average(self, limits: tuple[float, float]) -> list[float]:
        """AP at each threshold; NaN where no object has such a size."""
        return [self._precision(threshold, limits) for threshold in THRESHOLDS]

    def _precision(self, threshold: float, limits: tuple[float, float]) -> float:
        count, marks = 0, []
        for objects, found, ious, exhaustive in self.images:
            ignored = [bool(each.get("iscrowd")) or not _within(each["area"], limits) for each in objects]
            count += ignored.count(False)
            for each, match in zip(found, _matches(objects, ignored, ious, threshold), strict=True):
                if match is not None:
                    counts = not ignored[match]
                else:
                    counts = exhaustive and _within(rle.area(each["segmentation"]), limits)
                if counts:
                    marks.append((each["score"], match is not None))
        if count == 0:
            return float("nan")
        hits = np.cumsum([right for _, right in sorted(marks, key=lambda mark: -mark[0])])
        precision, recall = hits / np.arange(1, len(hits) + 1), hits / count
        return float(np.mean([precision[recall >= level].max(initial=0) for level in RECALLS]))


def _matches(objects: list[Entry], ignored: list[bool], ious: np.ndarray, threshold: float) -> Iterator[int | None]:
    """Index of each result's object: the free one of the highest IoU, one that counts before those that do not."""
    taken: set[int] = set()
    for row in ious:
        best = None
        for counted in (False, True):
            for place, each in enumerate(objects):
                free = place not in taken or each.get("iscrowd")
                if ignored[place] == counted and free and row[place] >= threshold:
                    best = place if best is None or row[place] >= row[best] else best
            if best is not None:
                break
        if best is not None:
            taken.add(best)
        yield best


def _iou(one: np.ndarray, other: np.ndarray, crowd: bool, ratio: float) -> float:
    if crowd:
        return (one & other).sum() / max(one.sum(), 1)
    iou = (one & other).sum() / max((one | other).sum(), 1)
    if ratio == 0 or iou < 0.5:
        return iou
    one, other = (plain_boundary(mask, ratio) for mask in (one, other))
    return min(iou, (one & other).sum() / (one | other).sum())


def plain_boundary(mask: np.ndarray, ratio: float) -> np.ndarray:
    """The pixels of a mask that have background, or the frame's end, within a square around them."""
    width = max(1, round(ratio * np.sqrt(mask.shape[0] ** 2 + mask.shape[1] ** 2)))
    return mask & ~minimum_filter(mask, 2 * width + 1, mode="constant", cval=False)


def _within(area: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= area <= limits[1]


def _limited(results: list[Entry], most: int) -> list[Entry]:
    """The results of each image that are among its `most` of the highest score, by score."""
    kept: dict[Any, list[Entry]] = {}
    for each in sorted(results, key=lambda each: -each["score"]):
        kept.setdefault(each["image_id"], []).append(each)
    return [each for of_image in kept.values() for each in of_image[:most]]
