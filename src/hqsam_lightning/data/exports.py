"""What annotation tools export, as annotations in COCO's format: labelme's files, CVAT's ``CVAT for images`` XML."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import faster_coco_eval.core.mask as rle
import numpy as np
from PIL import Image

from hqsam_lightning.data.problems import raise_problems, shown
from hqsam_lightning.data.segmentations import encode, is_size
from hqsam_lightning.errors import DataError
from hqsam_lightning.storage.files import read_json, require_regular_file

REMEDY = "export the annotations again"
CIRCLE_CORNERS = 64
DECLARATIONS = (b"<!DOCTYPE", b"<!ENTITY")
"""Of XML that CVAT does not write, and that can expand without end."""

Content = dict[str, list[dict[str, Any]]]


def read_labelme(folder: Path) -> Content:
    """Annotations of a folder in which labelme has saved one JSON file per photo.

    Shapes of one label and group_id are one object. Polygons, circles and masks are objects; rectangles, points and
    lines have no mask and are left out, as COCO's annotations without a segmentation.

    Args:
        folder: of the JSON files; ``imagePath`` in them is relative to it.

    Raises:
        DataError: there is no file, or one for all problems of the files.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise DataError(f"{folder}: expected labelme's JSON files, one per photo; found none; set data.annotations")
    problems: list[str] = []
    content: Content = {"images": [], "annotations": []}
    for number, file in enumerate(files):
        found = read_json(file, DataError, REMEDY)
        if not isinstance(found, dict) or not isinstance(found.get("shapes"), list):
            problems.append(f"{file.name}: expected an object with a list of shapes, got {shown(found)}")
            continue
        size = found.get("imageHeight"), found.get("imageWidth")
        entry = {"id": number, "file_name": _portable(found.get("imagePath")), "height": size[0], "width": size[1]}
        content["images"].append(entry)
        objects = _labelme_objects(found["shapes"], size, f"{file.name}: shapes", problems)
        content["annotations"] += [{"image_id": number, "segmentation": each} for each in objects]
    raise_problems(str(folder), problems, REMEDY)
    return content


def read_cvat(file: Path) -> Content:
    """Annotations of a file that CVAT exports as ``CVAT for images 1.1``.

    Polygons, ellipses and masks are objects, those of one group_id that is not 0 one object; boxes, points and lines
    are left out, as in `read_labelme`.

    Args:
        file: such as ``annotations.xml``.

    Raises:
        DataError: it is missing or no such XML, or one for all problems.
    """
    require_regular_file(file, DataError, "set data.annotations")
    text = file.read_bytes()
    if any(each in text for each in DECLARATIONS):
        raise DataError(f"{file}: expected XML without declarations of its own, as CVAT writes it; {REMEDY}")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as cause:
        raise DataError(f"{file}: expected XML; it is damaged ({cause}); {REMEDY}") from cause
    images = root.findall("image")
    if not images:
        raise DataError(f"{file}: expected images as in 'CVAT for images 1.1'; got <{root.tag}> without; {REMEDY}")
    problems: list[str] = []
    content: Content = {"images": [], "annotations": []}
    for number, image in enumerate(images):
        try:
            size = int(image.attrib["height"]), int(image.attrib["width"])
        except (KeyError, ValueError):
            problems.append(f"image {number}: expected a height and a width, got {shown(image.attrib)}")
            continue
        content["images"].append({"id": number, "file_name": image.get("name"), "height": size[0], "width": size[1]})
        objects = _cvat_objects(image, size, f"image {shown(image.get('name'))}", problems)
        content["annotations"] += [{"image_id": number, "segmentation": each} for each in objects]
    raise_problems(str(file), problems, REMEDY)
    return content


def _labelme_objects(shapes: list[Any], size: tuple[Any, Any], where: str, problems: list[str]) -> list[Any]:
    """A segmentation per object, None for shapes without a mask."""
    if not is_size(size):
        problems.append(f"{where}: expected imageHeight and imageWidth, got {shown(size)}")
        return []
    parts = []
    for place, shape in enumerate(shapes):
        try:
            kind, group = shape.get("shape_type", "polygon"), shape.get("group_id")
            points = [(float(x), float(y)) for x, y in shape["points"]]
            part = _LABELME.get(kind, _nothing)(points, shape, size)
        except (AttributeError, KeyError, TypeError, ValueError, OSError) as cause:
            problems.append(f"{where}[{place}]: cannot be read ({type(cause).__name__}: {cause})")
            continue
        parts.append((None if group is None else (str(shape.get("label")), str(group)), part))
    return list(_joined(parts, size))


def _cvat_objects(image: ElementTree.Element, size: tuple[int, int], where: str, problems: list[str]) -> list[Any]:
    parts = []
    for shape in image:
        try:
            part = _CVAT.get(shape.tag, _nothing)(shape, size)
        except (KeyError, ValueError) as cause:
            problems.append(f"{where}: <{shape.tag}> cannot be read ({type(cause).__name__}: {cause})")
            continue
        group = shape.get("group_id", "0")
        parts.append((None if group == "0" else (str(shape.get("label")), group), part))
    return list(_joined(parts, size))


def _joined(parts: list[tuple[Any, Any]], size: tuple[int, int]) -> Iterator[Any]:
    """Joins the parts of a group into one segmentation: a list of polygons, or run lengths."""
    groups: dict[Any, list[Any]] = {}
    for number, (group, part) in enumerate(parts):
        groups.setdefault(number if group is None else group, []).append(part)
    for members in groups.values():
        masks = [part for part in members if part is not None]
        if not masks:
            yield None
        elif all(isinstance(part, list) for part in masks):
            yield masks
        else:
            whole = np.any([_as_mask(part, size) for part in masks], axis=0)
            yield encode(whole)


def _as_mask(part: Any, size: tuple[int, int]) -> np.ndarray:
    return rle.decode(rle.frPyObjects([part], *size)[0]).astype(bool) if isinstance(part, list) else part


def _nothing(*_: Any) -> None:
    return None


def _polygon(points: list[tuple[float, float]], *_: Any) -> list[float] | None:
    return [value for point in points for value in point] if len(points) > 2 else None


def _circle(points: list[tuple[float, float]], *_: Any) -> list[float]:
    (x, y), edge = points
    return _ellipse(x, y, math.dist((x, y), edge), math.dist((x, y), edge))


def _ellipse(x: float, y: float, radius_x: float, radius_y: float) -> list[float]:
    angles = np.linspace(0, 2 * np.pi, CIRCLE_CORNERS, endpoint=False)
    return np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1).ravel().tolist()


def _labelme_mask(points: list[tuple[float, float]], shape: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """A PNG in base64, whose first pixel is the first point."""
    try:
        data = base64.b64decode(shape["mask"], validate=True)
    except binascii.Error as cause:
        raise ValueError(f"its mask is not base64: {cause}") from cause
    with Image.open(io.BytesIO(data)) as image:
        if image.height > size[0] or image.width > size[1]:
            raise ValueError(f"expected a mask inside of the image of {size}; got {image.size[::-1]}")
        part = np.asarray(image.convert("L")) > 0
    return _placed(part, round(points[0][0]), round(points[0][1]), size)


def _placed(part: np.ndarray, left: int, top: int, size: tuple[int, int]) -> np.ndarray:
    """A part of a mask in the whole one; raises a ValueError where it does not fit."""
    whole = np.zeros(size, bool)
    if left < 0 or top < 0 or top + part.shape[0] > size[0] or left + part.shape[1] > size[1]:
        raise ValueError(f"expected a mask inside of the image of {size}; got {part.shape} at ({left}, {top})")
    whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    return whole


def _cvat_polygon(shape: ElementTree.Element, *_: Any) -> list[float] | None:
    return _polygon([_pair(each) for each in shape.attrib["points"].split(";")])


def _pair(text: str) -> tuple[float, float]:
    x, y = text.split(",")
    return float(x), float(y)


def _cvat_ellipse(shape: ElementTree.Element, *_: Any) -> list[float]:
    return _ellipse(*(float(shape.attrib[name]) for name in ("cx", "cy", "rx", "ry")))


def _cvat_mask(shape: ElementTree.Element, size: tuple[int, int]) -> np.ndarray:
    """Run lengths by rows within a rectangle, background first."""
    left, top, width, height = (int(shape.attrib[name]) for name in ("left", "top", "width", "height"))
    runs = [int(each) for each in shape.attrib["rle"].split(",")]
    if min(width, height, *runs, 1) < 0 or sum(runs) != width * height or not is_size([height, width]):
        raise ValueError(f"expected run lengths of {height} x {width} pixels; got {sum(runs)}")
    values = np.arange(len(runs)) % 2 == 1
    return _placed(np.repeat(values, runs).reshape(height, width), left, top, size)


def _portable(path: Any) -> Any:
    """A path that labelme wrote, also on Windows; the file's name alone where it leaves the folder."""
    if not isinstance(path, str):
        return path
    parts = path.replace("\\", "/").split("/")
    return parts[-1] if ".." in parts or path.startswith("/") else "/".join(parts)


_LABELME: dict[str, Callable[..., Any]] = {"polygon": _polygon, "circle": _circle, "mask": _labelme_mask}
_CVAT: dict[str, Callable[..., Any]] = {"polygon": _cvat_polygon, "ellipse": _cvat_ellipse, "mask": _cvat_mask}
