"""Sets of every kind of suite, of which each photo, clip or entry but the first ones is broken in another way.

Its faults say what each message has to name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from omegaconf import DictConfig
from PIL import Image

from annotated_files import HEIGHT, WIDTH, compressed, image, instance, write_photo
from mask_pictures import palette
from video_files import annotated, found, moving_labels, video, write_davis, write_ytvis, ytvis

NO_PHOTO = b"no photo"
BLACK = [(0, 0, 0)] * 256
"""A palette that defines no colour."""


Writer = Callable[[DictConfig, Path, Mapping[str, "Fault"]], dict[str, Any]]
"""Writes a set with faults for a suite of this config, and gives what of the config changes."""


class Fault(NamedTuple):
    """A kind of bad input.

    Attributes:
        message: regular expression of what is said of it.
        damage: breaks the set.
        image: whether it is an image that cannot be read; otherwise it is an entry.
    """

    message: str
    damage: Callable[..., Any]
    image: bool = False


class Instances:
    """Photos 0.png to 7.png of images 0 to 7 with an object each, and a detector's boxes of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[8:30, 10:40] = True
        self.mask = mask
        lists: dict[str, Any] = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
        self.truth = {
            "images": [image(key, f"{key}.png", **lists) for key in range(8)],
            "annotations": [instance(key, key, compressed(mask), category_id=1) for key in range(8)],
            "categories": [{"id": 1, "name": "box", "frequency": "f"}],
        }
        self.found = [
            {"image_id": key, "category_id": 1, "bbox": [10, 8, 30, 22], "score": 0.5 + key / 20} for key in range(8)
        ]
        for key in range(8):
            write_photo(folder / f"{key}.png")

    def change(self, place: str, key: int, **fields: Any) -> None:
        self.truth[place][key] |= fields

    def detect(self, **fields: Any) -> None:
        self.found.append({**self.found[0], **fields})

    def write(self) -> None:
        for name, content in (("instances.json", self.truth), ("found.json", self.found)):
            (self.folder / name).write_text(json.dumps(content))


PHOTOS = {
    "broken photo": Fault(r"4\.png", lambda made: (made.folder / "4.png").write_bytes(NO_PHOTO), True),
    "photo of another size": Fault(
        r"5\.png.* expected .*height x width 40x56 as .* got 40x55|expected '5\.png' with height x width 40x56 .*40x55",
        lambda made: write_photo(made.folder / "5.png", size=(HEIGHT, WIDTH - 1)),
        True,
    ),
    "missing photo": Fault(r"6\.png", lambda made: (made.folder / "6.png").unlink(), True),
}
ANNOTATIONS = {
    "unknown image": Fault(
        r"annotations\[8\]: expected an image_id that the file lists, got 99",
        lambda made: made.truth["annotations"].append(instance(99, 99)),
    ),
    "repeated image": Fault(
        "image 1: id 1 is there twice", lambda made: made.truth["images"].append(made.truth["images"][1])
    ),
    "run lengths of another size": Fault(
        r"annotations\[2\]: expected run lengths of .* \(40, 56\), got \(39, 56\)",
        lambda made: made.change("annotations", 2, segmentation=compressed(made.mask[1:])),
    ),
}
CATEGORY = {
    "unknown category": Fault(
        r"annotations\[3\]: expected a category_id that the file lists, got 7",
        lambda made: made.change("annotations", 3, category_id=7),
    ),
    "detection of an unknown category": Fault(
        "expected a category_id that the annotations list, got 7", lambda made: made.detect(category_id=7)
    ),
}
DETECTIONS = {
    "detection in an unknown image": Fault(
        "expected an image_id that the annotations list, got 99", lambda made: made.detect(image_id=99)
    ),
    "box outside": Fault(
        r"inside the frame of 56x40 pixels, got \[70, 5, 5, 5\]", lambda made: made.detect(bbox=[70, 5, 5, 5])
    ),
    "box without area": Fault(r"an area .* got \[4, 5, 0, 5\]", lambda made: made.detect(bbox=[4, 5, 0, 5])),
    "NaN score": Fault(r"expected a score \(finite number\), got nan", lambda made: made.detect(score=float("nan"))),
}
MASKS_OF_JSON = {**ANNOTATIONS, **PHOTOS}
BOXES = {**ANNOTATIONS, **DETECTIONS, **PHOTOS}


def write_boxes(suite: DictConfig, folder: Path, faults: Mapping[str, Fault]) -> dict[str, Any]:
    files = _written(folder, faults)
    return {"names": ["set"], "boxes": f"{folder}/found.json", **files}


def write_instances(suite: DictConfig, folder: Path, faults: Mapping[str, Fault]) -> dict[str, Any]:
    return {"sets": {"coco": {**suite.sets.coco, **_written(folder, faults)}}}


def _written(folder: Path, faults: Mapping[str, Fault]) -> dict[str, str]:
    made = Instances(folder)
    for fault in faults.values():
        fault.damage(made)
    made.write()
    return {"annotations": f"{folder}/instances.json", "images": str(folder)}


def _save_mask(path: Path, mask: np.ndarray) -> None:
    Image.fromarray(mask).save(path)


SIZE = (40, 56)
MASK_FILES = {
    "broken photo": Fault(r"1\w*\.jpg", lambda photo, mask: photo("1").write_bytes(NO_PHOTO), True),
    "broken mask": Fault(r"2\w*\.png", lambda photo, mask: mask("2").write_bytes(NO_PHOTO), True),
    "mask of another size": Fault(
        r"expected a mask of its photo's size, got width x height 56x40 in \S*3\w*\.jpg and 55x40",
        lambda photo, mask: _save_mask(mask("3"), np.full((40, 55), 255, np.uint8)),
        True,
    ),
    "empty mask": Fault(r"4\w*\.png", lambda photo, mask: _save_mask(mask("4"), np.zeros(SIZE, np.uint8)), True),
    "missing mask": Fault(r"5\w*\.jpg", lambda photo, mask: mask("5").unlink(), True),
    "palette that nobody defined": Fault(
        r"6\w*\.png", lambda photo, mask: palette(np.eye(*SIZE, dtype=np.uint8), BLACK).save(mask("6")), True
    ),
}


COARSE = {
    **MASK_FILES,
    "broken coarse mask": Fault(
        r"/7(_seg\.png|: expected a coarse mask)",
        lambda photo, mask: mask("7").with_name("7_seg.png").write_bytes(NO_PHOTO),
        True,
    ),
}


def write_photos(suite: DictConfig, folder: Path, faults: Mapping[str, Fault]) -> dict[str, Any]:
    """Photos 0 to 7 of the first source with a mask each, and with a coarse one where the suite has them."""
    name = suite.sets.val_sources[0]
    source = suite.sets.catalogue[name]

    def photo(stem: str) -> Path:
        return folder / source["images"] / f"{stem}{source['image_suffixes'][0]}"

    def mask(stem: str) -> Path:
        return folder / source["masks"] / f"{stem}{source['mask_suffix']}"

    for path in (photo("0"), mask("0")):
        path.parent.mkdir(parents=True, exist_ok=True)
    square = np.zeros(SIZE, np.uint8)
    square[8:30, 10:40] = 255
    for stem in "01234567":
        write_photo(photo(stem))
        _save_mask(mask(stem), square)
        if suite.get("coarse"):
            _save_mask(mask(stem).with_name(f"{stem}_seg.png"), square)
    for fault in faults.values():
        fault.damage(photo, mask)
    few = {"num_clicks": 2} if "num_clicks" in suite else {}
    return {"sets": {**suite.sets, "val_sources": [name], "allow_missing": True}, **few}


def _redraw(folder: Path, frames: slice, draw: Callable[[np.ndarray], Image.Image]) -> None:
    paths = sorted(folder.iterdir())[frames]
    for path in paths:
        draw(np.asarray(Image.open(path))).save(path)


def _with_stranger(plane: np.ndarray) -> Image.Image:
    return palette(np.where(np.arange(plane.size).reshape(plane.shape) < 9, 7, plane), BLACK)


CLIPS = {
    "missing frame": Fault(
        r"clip 'missing': .* without 00002", lambda root: (root / "annotations/missing/00002.png").unlink()
    ),
    "first mask without an object": Fault(
        "clip 'empty': expected an object in the clip's first mask",
        lambda root: _redraw(root / "annotations/empty", slice(1), lambda plane: Image.fromarray(plane * np.uint8(0))),
    ),
    "broken frame": Fault(
        r"broken/00001\.png", lambda root: (root / "images/broken/00001.png").write_bytes(NO_PHOTO), True
    ),
    "mask of another size": Fault(
        r"expected masks of their frame's size.*48x64 in \S*size/00001.png and 48x62",
        lambda root: _redraw(root / "annotations/size", slice(1, 2), lambda plane: Image.fromarray(plane[:, 2:])),
        True,
    ),
}
SINGLE = {
    **CLIPS,
    "palette that nobody defined": Fault(
        r"clip 'palette': expected an object .* got values 0 to 0",
        lambda root: _redraw(root / "annotations/palette", slice(None), lambda plane: palette(plane, BLACK)),
    ),
}
SEVERAL = {
    **CLIPS,
    "object that the first mask does not define": Fault(
        r"expected the objects of the clip's first mask, 1, 2; got 7 in \S*palette/00001\.png",
        lambda root: _redraw(root / "annotations/palette", slice(1, 2), _with_stranger),
        True,
    ),
}


def write_clips(suite: DictConfig, folder: Path, faults: Mapping[str, Fault]) -> dict[str, Any]:
    names = ("a", "b", "missing", "empty", "broken", "size", "palette")
    write_davis(folder, names, single=suite.mask_values == "nonzero")
    for fault in faults.values():
        fault.damage(folder)
    return {"images": f"{folder}/images", "annotations": f"{folder}/annotations", "clips": None}


class Videos:
    """Videos 1 to 3 with two objects each, and a detector's tracks."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.masks = folder, moving_labels() == 1
        self.content = ytvis(("sound", "broken", "size"))
        self.tracks = [found(key, self.masks) for key in (1, 2, 3)]


TUBES = {
    "repeated video": Fault("id 1 is there twice", lambda made: made.content["videos"].append(video(1, "sound"))),
    "unknown video": Fault(
        "expected a video_id that the annotations list, got 9",
        lambda made: made.content["annotations"].append(annotated(91, 9, made.masks)),
    ),
    "unknown category": Fault(
        "id 92: expected a category_id that the annotations list, got 7",
        lambda made: made.content["annotations"].append(annotated(92, 1, made.masks, 7)),
    ),
    "run lengths of another size": Fault(
        r"id 93: frame 0: expected run lengths of .* \(48, 64\), got \(47, 64\)",
        lambda made: made.content["annotations"].append(annotated(93, 1, made.masks[:, 1:])),
    ),
    "missing frame": Fault(
        r"expected 5 frames; 1 are not there, such as \S*sound/00004\.png",
        lambda made: made.content["videos"].append(video(4, "sound", 5)),
    ),
    "track of an unknown video": Fault(
        r"\[\d\]: expected a video_id that the annotations list, got 8",
        lambda made: made.tracks.append(found(8, made.masks)),
    ),
    "track of an unknown category": Fault(
        r"\[\d\]: expected a category_id that the annotations list, got 6",
        lambda made: made.tracks.append(found(1, made.masks, 6)),
    ),
    "box outside": Fault(
        r"frame 0: .* inside the frame of 64x48 pixels, got \[70, 5, 5, 5\]",
        lambda made: made.tracks.append(found(1, made.masks, bboxes=[[70, 5, 5, 5], None, None, None])),
    ),
    "box without area": Fault(
        r"an area .* got \[4, 5, 0, 5\]",
        lambda made: made.tracks.append(found(1, made.masks, bboxes=[[4, 5, 0, 5]] * 4)),
    ),
    "NaN score": Fault(
        r"expected a score \(finite number\), got nan",
        lambda made: made.tracks.append(found(1, made.masks, score=float("nan"))),
    ),
    "broken frame": Fault(
        r"broken/00001\.png", lambda made: (made.folder / "images/broken/00001.png").write_bytes(NO_PHOTO), True
    ),
    "frame of another size": Fault(
        r"48x64|48x62",
        lambda made: _redraw(made.folder / "images/size", slice(1, 2), lambda frame: Image.fromarray(frame[:, 2:])),
        True,
    ),
}


def write_videos(suite: DictConfig, folder: Path, faults: Mapping[str, Fault]) -> dict[str, Any]:
    made = Videos(folder)
    write_ytvis(folder, made.content)
    for fault in faults.values():
        fault.damage(made)
    annotations, boxes = write_ytvis(folder, made.content, made.tracks)
    return {"images": f"{folder}/images", "annotations": str(annotations), "boxes": str(boxes)}
