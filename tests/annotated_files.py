"""Small sets in COCO's and SA-1B's formats, which the tests write and break."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faster_coco_eval.core.mask as rle
import numpy as np
from PIL import Image

HEIGHT, WIDTH = 40, 56
SQUARE = [4, 4, 20, 4, 20, 20, 4, 20]
LINE = [4, 4, 20, 20]
NO_PIXEL = [4.1, 4.1, 4.2, 4.1, 4.2, 4.2]


def some_masks(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(count):
        mask = np.zeros((HEIGHT, WIDTH), bool)
        top, left = rng.integers(0, 20, 2)
        mask[top : top + 12, left : left + 17] = True
        masks.append(mask & (rng.random(mask.shape) > 0.2))
    return masks


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """COCO's uncompressed form, by hand: lengths of runs down the columns, background first."""
    counts, value, run = [], False, 0
    for pixel in mask.ravel(order="F"):
        if pixel != value:
            counts.append(run)
            value, run = pixel, 0
        run += 1
    return {"size": list(mask.shape), "counts": [*counts, run]}


def compressed(mask: np.ndarray) -> dict[str, Any]:
    encoded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode()}


def write_photo(path: Path, orientation: int | None = None, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
    """A photo of (height, width) stored pixels, with an EXIF orientation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.new("RGB", size[::-1], (9, 99, 199)).save(path, exif=exif)
    return path


def write_sa1b(folder: Path, masks: list[np.ndarray], form=compressed, stem: str = "sa_1") -> Path:
    """One photo of SA-1B and its file of masks."""
    photo = write_photo(folder / f"{stem}.jpg")
    annotations = [{"id": number, "segmentation": form(mask)} for number, mask in enumerate(masks)]
    about = {"image_id": 1, "height": masks[0].shape[0], "width": masks[0].shape[1]}
    photo.with_suffix(".json").write_text(json.dumps({"image": about, "annotations": annotations}))
    return photo


def image(key: Any, name: Any, **fields: Any) -> dict[str, Any]:
    return {"id": key, "file_name": name, "height": HEIGHT, "width": WIDTH, **fields}


def instance(key: Any, image_id: Any, segmentation: Any = None, **fields: Any) -> dict[str, Any]:
    found = [SQUARE] if segmentation is None else segmentation
    return {"id": key, "image_id": image_id, "segmentation": found, "iscrowd": 0, **fields}


def write_json(folder: Path, images: list[Any], annotations: list[Any], name: str = "instances.json") -> Path:
    path = folder / name
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def write_coco(folder: Path, names: list[str], name: str = "instances.json") -> Path:
    """A photo for each name, with one square on each."""
    for each in names:
        write_photo(folder / each)
    images = [image(number, each) for number, each in enumerate(names)]
    return write_json(folder, images, [instance(number, number) for number in range(len(names))], name)
