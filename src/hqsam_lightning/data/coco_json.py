"""Reads annotations in COCO's format; the whole file is checked before any of it is used."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from hqsam_lightning.data.datasets.annotated import PhotoMasks
from hqsam_lightning.data.exports import read_cvat, read_labelme
from hqsam_lightning.data.names import name_problem, names_of, tidy_name
from hqsam_lightning.data.problems import raise_problems, shown
from hqsam_lightning.data.segmentations import is_size
from hqsam_lightning.errors import DataError
from hqsam_lightning.storage.files import read_json, require_regular_file

REMEDY = "repair or download the file again, or list a photo in data.exclude"


@dataclass
class CocoContent:
    """The content of a file.

    Attributes:
        images: masks of the images that are not excluded, by file name relative to the folder of the images, sorted.
        listed: names of all images, including excluded ones.
        left_out: number of unused annotations by reason.
        problems: what is wrong with the annotations and images that cannot be used.
    """

    images: dict[str, PhotoMasks]
    listed: list[str]
    left_out: Counter[str]
    problems: list[str]


Images = dict[Hashable, tuple[str, PhotoMasks] | None]
"""Name and masks of each image by its id; None for one that has a problem."""


def read_annotations(path: Path, keys: Sequence[str], find: str) -> dict[str, Any]:
    """Reads a JSON file whose values of these keys are lists.

    Raises:
        DataError: it is missing (`find` says what to do then), no regular file, not JSON, or lacks a list.
    """
    require_regular_file(path, DataError, find)
    content = read_json(path, DataError, REMEDY)
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        raise DataError(f"{path}: expected a JSON object with lists of {' and '.join(keys)}; {REMEDY}")
    return content


def entry_size(image: dict[str, Any]) -> tuple[tuple[int, int] | None, str | None]:
    """(height, width) of an image's entry, None if it states neither; and what is wrong with it, if anything."""
    size = (image.get("height"), image.get("width"))
    if size == (None, None):
        return None, None
    if not is_size(size):
        return None, f"expected a height and a width (integers > 0, or neither), got {shown(list(size))}"
    return size, None


def read_coco(path: Path, exclude: Sequence[str], strict: bool = True) -> CocoContent:
    """Reads and checks a file; the annotations of images to exclude, see `names_of`, are left out and not checked.

    Args:
        path: of a JSON file; or a folder of labelme's files, or an XML of CVAT's, see `hqsam_lightning.data.exports`.
        exclude: names of images.
        strict: whether problems are an error; otherwise the images that have them are left out.

    Raises:
        DataError: one for all problems, one line each.
    """
    content = _content(path)
    problems: list[str] = []
    images = read_images(content["images"], problems)
    wanted = set(exclude)
    excluded = {key for key, image in images.items() if image and names_of(image[0]) & wanted}
    left_out = _add_instances(content["annotations"], images, excluded, problems)
    if strict:
        raise_problems(str(path), problems, REMEDY)
    used = sorted((image for key, image in images.items() if image and key not in excluded), key=itemgetter(0))
    return CocoContent(dict(used), [image[0] for image in images.values() if image], left_out, problems)


def _content(path: Path) -> dict[str, Any]:
    if path.is_dir():
        return read_labelme(path)
    if path.suffix == ".xml":
        return read_cvat(path)
    return read_annotations(path, ("images", "annotations"), "set data.annotations (or data.val_annotations)")


def read_images(listed: list[Any], problems: list[str]) -> Images:
    """Checks the entries of images, and adds what is wrong with them to the problems."""
    images: Images = {}
    names: dict[str, Hashable] = {}
    for place, entry in enumerate(listed):
        key = entry.get("id") if isinstance(entry, dict) else None
        if not _is_id(key):
            problems.append(f"images[{place}]: expected an object with an id (integer or text), got {shown(entry)}")
            continue
        name, (size, size_problem) = _file_name(entry), entry_size(entry)
        problem = f"id {shown(key)} is there twice" if key in images else name_problem(name) or size_problem
        if problem is None and (name := tidy_name(name)) in names:
            problem = f"its file {shown(name)} is also that of image {shown(names[name])}"
        images[key] = None if problem else (name, PhotoMasks(size))
        if problem:
            problems.append(f"image {shown(key)}: {problem}")
        else:
            names[name] = key
    return images


def _add_instances(
    annotations: list[Any], images: Images, excluded: set[Hashable], problems: list[str]
) -> Counter[str]:
    """Adds each instance to its image; returns the number of unused annotations by reason.

    An image with an annotation that has a problem is one that has a problem.
    """
    left_out: Counter[str] = Counter()
    seen: set[Hashable] = set()
    broken: set[Hashable] = set()
    for place, annotation in enumerate(annotations):
        problem = annotation_problem(annotation, images, seen)
        if problem is None and annotation["image_id"] not in excluded:
            image, segmentation = images[annotation["image_id"]], annotation.get("segmentation")
            if annotation.get("iscrowd"):
                left_out["crowds"] += 1
            elif segmentation is None or segmentation == []:
                left_out["annotations without a segmentation"] += 1
            elif image is not None and (problem := image[1].add(segmentation)):
                problem = f"{problem} (image {shown(annotation['image_id'])}, {shown(image[0])})"
        if problem:
            problems.append(f"annotations[{place}]: {problem}")
            broken |= {image_of(annotation)}
    images |= dict.fromkeys(broken & images.keys())
    return left_out


def annotation_problem(annotation: object, images: Images, seen: set[Hashable]) -> str | None:
    """Describes a problem of an annotation other than its segmentation; adds its id to those seen."""
    if not isinstance(annotation, dict):
        return f"expected an object, got {shown(annotation)}"
    key, image_id, crowd = annotation.get("id"), annotation.get("image_id"), annotation.get("iscrowd")
    if key is not None and not _is_id(key):
        return f"expected an id (integer or text), got {shown(key)}"
    if key is not None and key in seen:
        return f"id {shown(key)} is there twice"
    seen.add(key)
    if not _is_id(image_id) or image_id not in images:
        return f"expected an image_id that the file lists, got {shown(image_id)}"
    if crowd not in (None, 0, 1) or isinstance(crowd, float):
        return f"expected an iscrowd of 0 or 1, got {shown(crowd)}"
    return None


def image_of(annotation: object) -> Hashable:
    """The id of the image that an annotation names; None where it names none."""
    key = annotation.get("image_id") if isinstance(annotation, dict) else None
    return key if _is_id(key) else None


def _is_id(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _file_name(image: dict[str, Any]) -> Any:
    """An image's file_name; LVIS v1 has a URL instead, which ends in folder/file."""
    url = image.get("coco_url")
    if image.get("file_name") is None and isinstance(url, str):
        return posixpath.join(*url.split("/")[-2:])
    return image.get("file_name")
