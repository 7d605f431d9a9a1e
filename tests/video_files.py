"""Tiny clips in DAVIS's and YouTube-VIS's layouts, which the tests write and break."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from annotated_files import run_lengths
from mask_pictures import DAVIS, palette

HEIGHT, WIDTH = 48, 64
FRAMES = 4


def moving_labels(frames: int = FRAMES) -> np.ndarray:
    """(T, H, W) uint8: object 1, a disc that moves right, and object 2, a square that is gone in the last frame."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    labels = np.zeros((frames, HEIGHT, WIDTH), np.uint8)
    for frame in range(frames):
        if frame < frames - 1:
            labels[frame, 30:42, 8 + 3 * frame : 24 + 3 * frame] = 2
        labels[frame, (rows - 14) ** 2 + (columns - 16 - 5 * frame) ** 2 <= 100] = 1
    return labels


def write_frames(folder: Path, labels: np.ndarray) -> list[str]:
    """Photos of noise with bright objects; returns their names."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 80, (*labels.shape, 3))
    names = [f"{frame:05d}.png" for frame in range(len(labels))]
    for name, plane, of_frame in zip(names, labels, noise, strict=True):
        Image.fromarray((of_frame + 80 * plane[..., None]).astype(np.uint8)).save(folder / name)
    return names


def write_davis(root: Path, names: tuple[str, ...] = ("bear", "dog"), single: bool = False) -> None:
    """Folders images and annotations; masks with a palette, or 0 and 255 for single objects."""
    labels = moving_labels()
    for name in names:
        write_frames(root / "images" / name, labels)
        (root / "annotations" / name).mkdir(parents=True)
        for frame, plane in enumerate(labels):
            picture = Image.fromarray(255 * (plane == 1).astype(np.uint8)) if single else palette(plane, DAVIS)
            picture.save(root / "annotations" / name / f"{frame:05d}.png")


def video(key: Any, name: str, frames: int = FRAMES, **fields: Any) -> dict[str, Any]:
    files = [f"{name}/{frame:05d}.png" for frame in range(frames)]
    return {"id": key, "width": WIDTH, "height": HEIGHT, "length": frames, "file_names": files, **fields}


def tube(masks: np.ndarray) -> list[dict[str, Any] | None]:
    """Run lengths of (T, H, W) masks, None where one is empty."""
    return [run_lengths(mask) if mask.any() else None for mask in masks]


def annotated(key: Any, video_id: Any, masks: np.ndarray, category: Any = 1, **fields: Any) -> dict[str, Any]:
    areas = [int(mask.sum()) or None for mask in masks]
    entry = {"id": key, "video_id": video_id, "category_id": category, "segmentations": tube(masks), "areas": areas}
    return {**entry, "iscrowd": 0, **fields}


def found(video_id: Any, masks: np.ndarray, category: Any = 1, score: Any = 0.5, **fields: Any) -> dict[str, Any]:
    """A detector's track of the masks' boxes."""
    return {
        "video_id": video_id,
        "category_id": category,
        "score": score,
        "bboxes": [box_of(mask) for mask in masks],
        **fields,
    }


def box_of(mask: np.ndarray) -> list[int] | None:
    """COCO's [x, y, width, height] around a mask."""
    if not mask.any():
        return None
    (rows,), (columns,) = mask.any(1).nonzero(), mask.any(0).nonzero()
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y]


def ytvis(names: tuple[str, ...] = ("bear", "dog")) -> dict[str, list[Any]]:
    """Annotations of both objects of each video, of categories 1 and 2."""
    labels = moving_labels()
    videos = [video(number, name) for number, name in enumerate(names, start=1)]
    return {
        "videos": videos,
        "annotations": [
            annotated(10 * each["id"] + category, each["id"], labels == category, category)
            for each in videos
            for category in (1, 2)
        ],
        "categories": [{"id": 1, "name": "disc"}, {"id": 2, "name": "square"}],
    }


def results(names: tuple[str, ...] = ("bear", "dog")) -> list[Any]:
    """A track of each object of each video."""
    labels = moving_labels()
    return [found(number, labels == each, each) for number in range(1, len(names) + 1) for each in (1, 2)]


def write_ytvis(root: Path, content: dict[str, list[Any]], tracks: list[Any] | None = None) -> tuple[Path, Path]:
    """Frames of the videos, annotations and results; returns the paths of the two files."""
    for each in content["videos"]:
        folder = root / "images" / Path(each["file_names"][0]).parent
        if not folder.exists():
            write_frames(folder, moving_labels(FRAMES))
    (root / "instances.json").write_text(json.dumps(content))
    (root / "results.json").write_text(json.dumps(results() if tracks is None else tracks))
    return root / "instances.json", root / "results.json"
