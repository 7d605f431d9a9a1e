"""A small set in COCO's format that a model can segment: bright shapes on a dark ground, and a detector's boxes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from PIL import Image

from annotated_files import compressed

SIZES = ((90, 120), (120, 80), (64, 150), (100, 100))
"""Heights and widths of the photos; the last one has no box."""

Entry = dict[str, Any]


def shapes(size: tuple[int, int], seed: int) -> list[np.ndarray]:
    """Two masks that do not touch, a disc and a rectangle."""
    height, width = size
    rng = np.random.default_rng(seed)
    masks = np.zeros((2, height, width), np.uint8)
    radius = int(min(height, width) * rng.uniform(0.15, 0.2))
    cv2.circle(masks[0], (width // 4, height // 3), radius, 1, cv2.FILLED)
    cv2.rectangle(
        masks[1], (width // 2 + 3, height // 2), (width - 9, height - 9 - int(rng.integers(6))), 1, cv2.FILLED
    )
    return list(masks.astype(bool))


def write_instances(folder: Path) -> tuple[Entry, list[Entry]]:
    """Writes photos, instances.json and found.json.

    Returns:
        The content of the two files; the ids of images are not in the order of the file.
    """
    truth: Entry = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 0, "name": "disc"}, {"id": 2, "name": "box"}],
    }
    found = []
    for number, size in enumerate(SIZES):
        masks, key = shapes(size, number), 9 - number
        pixels = np.full((*size, 3), (20, 30, 60), np.uint8)
        pixels[np.any(masks, axis=0)] = (240, 220, 90)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        truth["images"].append({"id": key, "file_name": f"{number}.png", "height": size[0], "width": size[1]})
        for category, mask in zip((0, 2), masks, strict=True):
            about = {"image_id": key, "category_id": category, "iscrowd": 0, "area": int(mask.sum())}
            truth["annotations"].append({"id": len(truth["annotations"]), "segmentation": compressed(mask), **about})
            x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
            box = {"image_id": key, "category_id": category, "bbox": [x - 1, y + 1, width + 2.5, height], "score": 0.9}
            if number < len(SIZES) - 1:
                found += [box, {**box, "bbox": [x + 4, y + 4, width, height], "score": 0.2 + 0.1 * number}]
    (folder / "instances.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps(found))
    return truth, found


def small_set(folder: Path) -> SimpleNamespace:
    """Writes the set; its content, and its paths as the suite takes them."""
    truth, found = write_instances(folder)
    paths = {"annotations": str(folder / "instances.json"), "images": str(folder)}
    return SimpleNamespace(folder=folder, truth=truth, found=found, paths=paths, boxes=str(folder / "found.json"))
