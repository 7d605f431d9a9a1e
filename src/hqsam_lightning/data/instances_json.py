"""Reads what instance segmentation is scored on: objects with categories, and the boxes that a detector found.

An annotation that is wrong makes the truth of its image another one: it is an error, or the whole image is left out.
A detector's entry that is wrong is left out and described.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faster_coco_eval.core.mask as rle

from hqsam_lightning.data.boxes import Box, box_within, is_number
from hqsam_lightning.data.coco_json import Images, annotation_problem, image_of, read_annotations, read_images
from hqsam_lightning.data.problems import raise_problems, shown
from hqsam_lightning.data.segmentations import run_lengths
from hqsam_lightning.errors import DataError
from hqsam_lightning.storage.files import read_json, require_regular_file

REMEDY = "repair or download the file again"
OBJECT = 1
"""Id of the category that all objects have where no category counts."""
FREQUENCIES = ("r", "c", "f")
FEDERATED = ("neg_category_ids", "not_exhaustive_category_ids")
"""Lists of categories that LVIS has for each image."""


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its objects.

    Attributes:
        name: of its file, relative to the folder of the images.
        size: (height, width).
        entry: id, height and width, and where the set is federated the lists of `FEDERATED`.
        objects: image_id, category_id, segmentation as compressed run lengths, area and iscrowd of each.
    """

    name: str
    size: tuple[int, int]
    entry: Mapping[str, Any]
    objects: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Instances:
    """The content of a file of annotations.

    Attributes:
        images: by id, in the file's order.
        categories: id, and where the set is federated frequency, of each.
        problems: what is wrong with annotations and images.
        left_out: ids of the images that have a problem.
    """

    images: Mapping[int, AnnotatedImage]
    categories: Sequence[Mapping[str, Any]]
    problems: Sequence[str] = ()
    left_out: frozenset[Hashable] = frozenset()


@dataclass(frozen=True)
class FoundBox:
    """A box to segment the object of.

    Attributes:
        box: xyxy in pixels of the image.
        category: id of its category.
        score: the detector's confidence.
    """

    box: Box
    category: int
    score: float


def read_instances(path: Path, federated: bool = False, class_agnostic: bool = False, strict: bool = True) -> Instances:
    """Reads annotations in COCO's format.

    Args:
        path: of the JSON file.
        federated: whether images and categories have to have what LVIS adds to them.
        class_agnostic: whether categories do not count; they need not be there then.
        strict: whether an annotation or image that is wrong is an error; otherwise its whole image is left out.

    Raises:
        DataError: one for all problems, a line each; also for wrong categories.
    """
    keys = ("images", "annotations") if class_agnostic else ("images", "annotations", "categories")
    content = read_annotations(path, keys, "set suite.annotations to the JSON file of the images' annotations")
    problems: list[str] = []
    categories = [{"id": OBJECT}] if class_agnostic else _categories(content["categories"], federated, problems)
    wrong_categories = len(problems)
    listed = read_images(content["images"], problems)
    images = _images(content["images"], listed, federated, problems)
    known = None if class_agnostic else {each["id"] for each in categories}
    seen: set[Any] = set()
    broken: set[Any] = set()
    for place, annotation in enumerate(content["annotations"]):
        problem = annotation_problem(annotation, listed, seen)
        if problem is None and (image := images.get(annotation["image_id"])):
            problem = _add_object(annotation, image, listed, known)
        if problem:
            problems.append(f"annotations[{place}]: {problem}")
            broken.add(image_of(annotation))
    if strict or wrong_categories:
        raise_problems(str(path), problems, REMEDY)
    kept = {key: image for key, image in images.items() if key not in broken}
    return Instances(kept, categories, problems, frozenset(listed.keys() - kept.keys()))


def read_found_boxes(
    path: Path, instances: Instances, class_agnostic: bool = False
) -> tuple[dict[int, list[FoundBox]], list[str]]:
    """Reads a detector's results in COCO's format: image_id, bbox, category_id and score of each.

    Args:
        path: of the JSON file.
        instances: that the images and categories belong to.
        class_agnostic: whether the entries' categories are not looked at.

    Returns:
        Boxes by image, in the file's order, without those of images that are left out; and what is wrong with entries
        that are left out.

    Raises:
        DataError: it is no such file.
    """
    require_regular_file(path, DataError, "set suite.boxes to the results file of a detector, or to ground_truth")
    entries = read_json(path, DataError, REMEDY, not_finite=True)
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path}: expected a list of detections, got {shown(entries)}; {REMEDY}")
    known = None if class_agnostic else {each["id"] for each in instances.categories}
    problems: list[str] = []
    found: dict[int, list[FoundBox]] = {}
    for place, entry in enumerate(entries):
        if image_of(entry) in instances.left_out:
            continue
        try:
            box = _found_box(entry, instances, known)
        except DataError as error:
            problems.append(f"[{place}]: {error}")
        else:
            found.setdefault(entry["image_id"], []).append(box)
    return found, problems


def true_box(object_: Mapping[str, Any]) -> FoundBox | None:
    """The box around an object's mask, with a score of 1; None of a crowd, and of a mask without a pixel."""
    x, y, width, height = map(float, rle.toBbox(object_["segmentation"]))
    if object_["iscrowd"] or not width:
        return None
    return FoundBox((x, y, x + width, y + height), object_["category_id"], 1.0)


def _categories(entries: Sequence[Any], federated: bool, problems: list[str]) -> list[Mapping[str, Any]]:
    found: dict[int, Mapping[str, Any]] = {}
    for place, entry in enumerate(entries):
        key = entry.get("id") if isinstance(entry, dict) else None
        if type(key) is not int or key in found:
            again = f"id {key} is there twice" if key in found else f"expected an id (integer), got {shown(entry)}"
            problems.append(f"categories[{place}]: {again}")
            continue
        found[key] = {"id": key}
        if federated:
            found[key] = {"id": key, "frequency": entry.get("frequency")}
            if entry.get("frequency") not in FREQUENCIES:
                expected = f"a frequency of {', '.join(FREQUENCIES)}"
                problems.append(f"categories[{place}]: expected {expected}; got {shown(entry.get('frequency'))}")
    return list(found.values())


def _images(entries: Sequence[Any], listed: Images, federated: bool, problems: list[str]) -> dict[int, AnnotatedImage]:
    """The images without a problem."""
    images: dict[int, AnnotatedImage] = {}
    for entry in entries:
        key = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(key, int | str) or (known := listed.get(key)) is None or key in images:
            continue
        name, masks = known
        lists = {name: entry.get(name) for name in FEDERATED} if federated else {}
        if type(key) is not int:
            problems.append(f"image {shown(key)}: expected an integer id")
        elif masks.size is None:
            problems.append(f"image {key}: expected a height and a width, got none")
        elif wrong := [name for name, value in lists.items() if not _is_ids(value)]:
            problems.append(f"image {key}: expected {wrong[0]}, a list of categories; got {shown(lists[wrong[0]])}")
        else:
            height, width = masks.size
            images[key] = AnnotatedImage(name, masks.size, {"id": key, "height": height, "width": width, **lists})
    return images


def _is_ids(value: object) -> bool:
    return isinstance(value, list) and all(type(each) is int for each in value)


def _add_object(
    annotation: Mapping[str, Any], image: AnnotatedImage, listed: Images, known: set[int] | None
) -> str | None:
    """Adds an object to its image, or describes why it cannot."""
    category, area = annotation.get("category_id"), annotation.get("area")
    if known is not None and (type(category) is not int or category not in known):
        return f"expected a category_id that the file lists, got {shown(category)}"
    if area is not None and not (is_number(area) and area >= 0):
        return f"expected an area (number >= 0), got {shown(area)}"
    checked = listed[annotation["image_id"]]
    assert checked is not None
    if problem := checked[1].add(annotation.get("segmentation")):
        return f"{problem} (image {annotation['image_id']}, {shown(image.name)})"
    mask = run_lengths(annotation["segmentation"], image.size)
    image.objects.append(
        {
            "image_id": annotation["image_id"],
            "category_id": OBJECT if known is None else category,
            "segmentation": mask,
            "area": float(rle.area(mask)) if area is None else float(area),
            "iscrowd": int(annotation.get("iscrowd") or 0),
        }
    )
    return None


def _found_box(entry: object, instances: Instances, known: set[int] | None) -> FoundBox:
    if not isinstance(entry, dict):
        raise DataError(f"expected an object, got {shown(entry)}")
    image, category, score = (entry.get(key) for key in ("image_id", "category_id", "score"))
    if type(image) is not int or image not in instances.images:
        raise DataError(f"expected an image_id that the annotations list, got {shown(image)}")
    if known is not None and (type(category) is not int or category not in known):
        raise DataError(f"expected a category_id that the annotations list, got {shown(category)}")
    if not is_number(score):
        raise DataError(f"expected a score (finite number), got {shown(score)}")
    box = box_within(entry.get("bbox"), instances.images[image].size)
    return FoundBox(box, category if known is not None and type(category) is int else OBJECT, float(score))
