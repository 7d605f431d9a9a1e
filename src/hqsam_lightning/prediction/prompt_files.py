"""Reads files of prompts: CSV and JSON of boxes and points, and the COCO results of a detector."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hqsam_lightning.data.coco_json import read_annotations
from hqsam_lightning.data.problems import raise_problems, shown
from hqsam_lightning.errors import DataError
from hqsam_lightning.inference.objects import ObjectPrompt
from hqsam_lightning.prediction.photos import Photo
from hqsam_lightning.prediction.prompts import OBJECT, PromptedPhotos, by_name, names_of_photos, tidy
from hqsam_lightning.storage.files import UNREADABLE, read_json, require_regular_file

REMEDY = "correct it; --help describes the formats"
BOX, POINT = ("x0", "y0", "x1", "y1"), ("x", "y", "label")
Entry = tuple[str, ObjectPrompt, int]
"""Name of the photo, object and category."""


def read_prompt_file(path: Path, photos: list[Photo], instances: Path | None, min_score: float) -> PromptedPhotos:
    """Reads any of the files by its suffix and content.

    Args:
        path: ``.csv`` or ``.json``.
        photos: to choose from.
        instances: COCO annotations with the ids of the images, for COCO results.
        min_score: detections below it are left out.

    Raises:
        DataError: one for all problems of the file, a line each; or no photo is named in it.
    """
    require_regular_file(path, DataError, "set prompt to a .csv or .json file, a folder of masks, or everything")
    if path.suffix.lower() == ".csv":
        kept, wanted = by_name(photos, _read_csv(path), str(path))
        return PromptedPhotos(kept, wanted)
    content = read_json(path, DataError, REMEDY)
    if not isinstance(content, list) or not content or not all(isinstance(entry, dict) for entry in content):
        raise DataError(f"{path}: expected a list of objects, one for each prompt, got {shown(content)}; {REMEDY}")
    if "image_id" in content[0]:
        return _detections(path, content, photos, instances, min_score)
    kept, wanted = by_name(photos, _read_list(path, content), str(path))
    return PromptedPhotos(kept, wanted)


def as_box(values: Any) -> tuple[float, float, float, float]:
    """Four finite numbers x0, y0, x1, y1 with x0 < x1 and y0 < y1.

    Raises:
        ValueError: they are not.
    """
    numbers = _numbers(values, 4)
    if not (numbers[0] < numbers[2] and numbers[1] < numbers[3]):
        raise ValueError(f"expected a box [x0, y0, x1, y1] with x0 < x1 and y0 < y1; got {shown(values)}")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def as_point(values: Any) -> tuple[float, float, int]:
    """Two finite numbers x, y, and a label 0 or 1.

    Raises:
        ValueError: they are not.
    """
    x, y, label = _numbers(values, 3)
    if label not in (0, 1):
        raise ValueError(f"expected a point [x, y, label] with a label 1 (on the object) or 0; got {shown(values)}")
    return x, y, int(label)


def _read_csv(path: Path) -> list[Entry]:
    """Rows of boxes and points; those of one image and object belong together."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except UNREADABLE as error:
        raise DataError(f"{path}: expected a CSV file in UTF-8, cannot read it ({error}); {REMEDY}") from error
    columns = set(rows[0]) if rows else set()
    if "image" not in columns or not ({*BOX} <= columns or {*POINT} <= columns):
        raise DataError(
            f"{path}: expected rows under the columns image and {', '.join(BOX)} (a box) or {', '.join(POINT)} (a "
            f"point), and perhaps object and category_id; got {', '.join(map(str, columns)) or 'none'}"
        )
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    problems = []
    for number, row in enumerate(rows, start=2):
        entry = entries.setdefault((row["image"], row.get("object") or f"line {number}"), {"image": row["image"]})
        try:
            _add_row(entry, row)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    raise_problems(str(path), problems, REMEDY)
    return _read_list(path, list(entries.values()))


def _add_row(entry: dict[str, Any], row: Mapping[str, str]) -> None:
    if any(row.get(name) for name in BOX):
        if "box" in entry:
            raise ValueError("expected one box for each object; this is its second")
        entry["box"] = [float(row[name] or "nan") for name in BOX]
    if any(row.get(name) for name in POINT):
        entry.setdefault("points", []).append([float(row[name] or "nan") for name in POINT])
    if row.get("category_id"):
        entry["category_id"] = int(row["category_id"])


def _read_list(path: Path, content: list[dict[str, Any]]) -> list[Entry]:
    found, problems = [], []
    for place, entry in enumerate(content):
        try:
            found.append(_entry(entry))
        except (ValueError, TypeError) as error:
            problems.append(f"[{place}]: {error}")
    raise_problems(str(path), problems, REMEDY)
    return found


def _entry(entry: Mapping[str, Any]) -> Entry:
    image, box, points = entry.get("image"), entry.get("box"), entry.get("points") or []
    if not isinstance(image, str) or not image:
        raise ValueError(f"expected the name of an image, got {shown(image)}")
    unknown = sorted(entry.keys() - {"image", "box", "points", "category_id"})
    if unknown or (box is None and not points):
        raise ValueError(f"expected a box, points or both, and perhaps category_id; got {shown(dict(entry))}")
    prompt = ObjectPrompt(None if box is None else as_box(box), tuple(map(as_point, points)))
    return image, prompt, _category(entry)


def _detections(
    path: Path, content: list[dict[str, Any]], photos: list[Photo], instances: Path | None, min_score: float
) -> PromptedPhotos:
    """Boxes of COCO results: image_id, bbox [x, y, width, height], and perhaps category_id and score."""
    if instances is None:
        raise DataError(
            f"{path}: COCO results name images by id; expected instances=FILE, the COCO annotations with their file "
            "names; got null"
        )
    listed = read_annotations(instances, ("images",), "set instances to the COCO annotations of the results' images")
    names: dict[int | str, str] = {
        entry["id"]: entry["file_name"]
        for entry in listed["images"]
        if isinstance(entry, dict) and "id" in entry and isinstance(entry.get("file_name"), str)
    }
    entries, problems = [], []
    for place, entry in enumerate(content):
        try:
            if float(entry.get("score", 1)) >= min_score:
                entries.append(_detection(entry, names))
        except (ValueError, TypeError) as error:
            problems.append(f"[{place}]: {error}")
    raise_problems(str(path), problems, REMEDY)
    kept, wanted = by_name(photos, entries, str(path))
    called = names_of_photos(kept)
    ids = {photo: key for key, name in names.items() for photo in called.get(tidy(name), ())}
    return PromptedPhotos(kept, wanted, image_ids=ids, categories=_categories(listed))


def _detection(entry: Mapping[str, Any], names: Mapping[Any, str]) -> Entry:
    name = names.get(entry["image_id"]) if isinstance(entry.get("image_id"), int | str) else None
    if name is None:
        raise ValueError(f"expected an image_id that instances lists with a file_name, got {shown(entry)}")
    x, y, width, height = _numbers(entry.get("bbox"), 4)
    return name, ObjectPrompt(as_box([x, y, x + width, y + height])), _category(entry)


def _categories(content: Mapping[str, Any]) -> dict[int, str]:
    listed = content.get("categories")
    entries = listed if isinstance(listed, list) else []
    return {
        entry["id"]: str(entry["name"]) for entry in entries if isinstance(entry, dict) and {"id", "name"} <= {*entry}
    }


def _category(entry: Mapping[str, Any]) -> int:
    category = entry.get("category_id", OBJECT)
    if type(category) is not int:
        raise ValueError(f"expected a category_id (integer), got {shown(category)}")
    return category


def _numbers(values: Any, count: int) -> list[float]:
    fits = isinstance(values, list | tuple) and len(values) == count
    if not fits or not all(type(each) in (int, float) and math.isfinite(each) for each in values):
        raise ValueError(f"expected {count} finite numbers, got {shown(values)}")
    return [float(each) for each in values]
