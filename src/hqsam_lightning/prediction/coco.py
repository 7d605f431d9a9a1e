"""The COCO files of a prediction, made of its journal once the photos are done."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hqsam_lightning.prediction.prompts import OBJECT, PromptedPhotos
from hqsam_lightning.storage.files import replacing


def write_coco(path: Path, kind: str, prompted: PromptedPhotos, records: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes images, annotations with scores, and categories, as COCO's annotation files have them.

    Args:
        path: of the file.
        kind: of the segmentations, a key of the records' objects.
        prompted: the photos.
        records: by the photo's name; those without objects are left out.

    Raises:
        StorageError: the file cannot be written.
    """
    images, numbers = [], {}
    for number, photo in enumerate(prompted.photos, start=1):
        record = records.get(photo.name, {})
        if "objects" in record:
            numbers[photo.name] = prompted.image_ids.get(photo.name, number)
            height, width = record["size"]
            images.append({"id": numbers[photo.name], "file_name": photo.name, "width": width, "height": height})
    annotations = list(_annotations(kind, numbers, records))
    ids = sorted({each["category_id"] for each in annotations} | set(prompted.categories))
    names = {OBJECT: "object", **prompted.categories}
    categories = [{"id": each, "name": names.get(each, str(each))} for each in ids]
    content = {"images": images, "annotations": annotations, "categories": categories}
    with replacing(path) as file:
        file.write(json.dumps(content, allow_nan=False).encode())


def _annotations(
    kind: str, numbers: Mapping[str, int | str], records: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    number = 0
    for name, image_id in numbers.items():
        for found in records[name]["objects"]:
            number += 1
            plain = {key: found[key] for key in ("bbox", "area", "score", "category_id")}
            yield {"id": number, "image_id": image_id, "segmentation": found[kind], "iscrowd": 0, **plain}
