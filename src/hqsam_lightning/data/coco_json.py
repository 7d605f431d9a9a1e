"""Reads annotations in COCO's format; the whole file is checked before any of it is used."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hqsam_lightning.data.exports import read_cvat, read_labelme
from hqsam_lightning.data.photo_names import name_problem, names_of, tidy_name
from hqsam_lightning.data.problems import raise_problems, shown
from hqsam_lightning.data.segmentations import Segmentation, is_size, segmentation_problem, stated_size
from hqsam_lightning.errors import DataError
from hqsam_lightning.storage.files import read_json, require_regular_file

REMEDY = "repair or download the file again, or list a photo in data.exclude"

CROWDS = "crowds"
BARE = "annotations without a segmentation"


@dataclass
class CocoImage:
    """An entry of ``images``, with its instances.

    Attributes:
        name: file name, relative to the folder of the images.
        size: (height, width) as stated in the JSON, if it is.
        instances: segmentations, in the order of the JSON.
    """

    name: str
    size: tuple[int, int] | None
    instances: list[Segmentation] = field(default_factory=list)

    def add(self, segmentation: Any) -> str | None:
        """Adds an instance, or describes why it cannot; the first run lengths set the size if it is not stated."""
        problem = segmentation_problem(segmentation)
        if problem:
            return problem
        size = stated_size(segmentation)
        self.size = self.size or size
        if size is not None and size != self.size:
            return f"expected run lengths of the image's size (height, width) {self.size}, got {size}"
        self.instances.append(segmentation)
        return None


@dataclass
class CocoContent:
    """The content of a file.

    Attributes:
        images: those not excluded, sorted by name.
        listed: names of all images, including excluded ones.
        left_out: number of unused annotations by reason.
    """

    images: list[CocoImage]
    listed: list[str]
    left_out: Counter[str]


def read_annotations(path: Path, keys: Sequence[str], find: str) -> dict[str, Any]:
    """Reads a JSON file.

    Args:
        path: of the file.
        keys: whose values are lists.
        find: what to do about a missing file, as the end of the message.

    Raises:
        DataError: it is missing, no regular file, not JSON, or lacks a list.
    """
    require_regular_file(path, DataError, find)
    content = read_json(path, DataError, REMEDY)
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        raise DataError(f"{path}: expected a JSON object with lists of {' and '.join(keys)}; {REMEDY}")
    return content


def entry_size(image: dict[str, Any]) -> tuple[int, int] | None:
    """(height, width) of an image's entry, if it is stated."""
    height, width = image.get("height"), image.get("width")
    return None if height is None or width is None else (height, width)


def entry_size_problem(image: dict[str, Any]) -> str | None:
    """Describes an impossible height and width; None for valid ones, or if neither is stated."""
    size = [image.get("height"), image.get("width")]
    if size == [None, None] or is_size(size):
        return None
    return f"expected a height and a width (integers > 0, or neither), got {shown(size)}"


def read_coco(path: Path, exclude: Sequence[str]) -> CocoContent:
    """Reads and checks a file.

    Args:
        path: of the JSON file; or a folder of labelme's files, or an XML of CVAT's, see `hqsam_lightning.data.exports`.
        exclude: names of images to leave out, see `names_of`; their annotations are not checked.

    Raises:
        DataError: one for all problems, one line each.
    """
    content = _content(path)
    problems: list[str] = []
    listed = _read_images(content["images"], problems)
    wanted = set(exclude)
    excluded = {key for key, image in listed.items() if wanted and image and names_of(image.name) & wanted}
    left_out = _add_instances(content["annotations"], listed, excluded, problems)
    raise_problems(str(path), problems, REMEDY)
    images = [image for key, image in listed.items() if image and key not in excluded]
    names = [image.name for image in listed.values() if image]
    return CocoContent(sorted(images, key=lambda image: image.name), names, left_out)


def _content(path: Path) -> dict[str, Any]:
    if path.is_dir():
        return read_labelme(path)
    if path.suffix == ".xml":
        return read_cvat(path)
    return read_annotations(path, ("images", "annotations"), "set data.annotations (or data.val_annotations)")


def _read_images(listed: list[Any], problems: list[str]) -> dict[Hashable, CocoImage | None]:
    """Reads the list of images by id; None for one that has a problem."""
    images: dict[Hashable, CocoImage | None] = {}
    names: dict[str, Hashable] = {}
    for place, entry in enumerate(listed):
        key = entry.get("id") if isinstance(entry, dict) else None
        if not _is_id(key):
            problems.append(f"images[{place}]: expected an object with an id (integer or text), got {shown(entry)}")
            continue
        name = _file_name(entry)
        problem = (
            f"id {shown(key)} is there twice" if key in images else name_problem(name) or entry_size_problem(entry)
        )
        if problem is None and (name := tidy_name(name)) in names:
            problem = f"its file {shown(name)} is also that of image {shown(names[name])}"
        images[key] = None if problem else CocoImage(name, entry_size(entry))
        if problem:
            problems.append(f"image {shown(key)}: {problem}")
        else:
            names[name] = key
    return images


def _add_instances(
    annotations: list[Any],
    images: dict[Hashable, CocoImage | None],
    excluded: set[Hashable],
    problems: list[str],
) -> Counter[str]:
    """Adds each instance to its image; returns the number of unused annotations by reason."""
    left_out: Counter[str] = Counter()
    seen: set[Hashable] = set()
    for place, annotation in enumerate(annotations):
        problem = _annotation_problem(annotation, images, seen)
        if problem is None and annotation["image_id"] not in excluded:
            image, segmentation = images[annotation["image_id"]], annotation.get("segmentation")
            if annotation.get("iscrowd"):
                left_out[CROWDS] += 1
            elif segmentation is None or segmentation == []:
                left_out[BARE] += 1
            elif image is not None:
                problem = image.add(segmentation)
                problem = problem and f"{problem} (image {shown(annotation['image_id'])}, {shown(image.name)})"
        if problem:
            problems.append(f"annotations[{place}]: {problem}")
    return left_out


def _annotation_problem(
    annotation: object, images: dict[Hashable, CocoImage | None], seen: set[Hashable]
) -> str | None:
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


def _is_id(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _file_name(image: dict[str, Any]) -> Any:
    """An image's file_name; LVIS v1 has a URL instead, which ends in folder/file."""
    url = image.get("coco_url")
    if image.get("file_name") is None and isinstance(url, str):
        return posixpath.join(*url.split("/")[-2:])
    return image.get("file_name")
