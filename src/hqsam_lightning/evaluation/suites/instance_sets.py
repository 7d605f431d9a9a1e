"""Sets of images with annotated objects, and the boxes that prompt for each."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqsam_lightning.data.image_files import file_fingerprint
from hqsam_lightning.data.instances_json import (
    AnnotatedImage,
    FoundBox,
    Instances,
    read_found_boxes,
    read_instances,
    true_box,
)
from hqsam_lightning.data.names import find_photo, unique_stems
from hqsam_lightning.data.problems import as_lines, listed, raise_problems
from hqsam_lightning.errors import DataError
from hqsam_lightning.evaluation.average_precision import MAX_FEDERATED_RESULTS
from hqsam_lightning.storage.files import content_sha256, file_sha256

log = logging.getLogger(__name__)

GROUND_TRUTH = "ground_truth"
NAME = "@name"
"""What stands for a set's name in paths."""


Boxes = Mapping[int, Sequence[FoundBox]]
"""Boxes by the id of their image."""


@dataclass(frozen=True)
class PromptedImage:
    """An image with M boxes.

    Attributes:
        dataset: name of its set.
        key: its id in the annotations.
        sample_id: see `hqsam_lightning.types.Sample`.
        path: of its file.
        size: (height, width) that the annotations state.
        boxes: that prompt, those of the highest score first.
        masks: run lengths of the true masks that the boxes are around; none for a detector's boxes.
    """

    dataset: str
    key: int
    sample_id: str
    path: Path
    size: tuple[int, int]
    boxes: Sequence[FoundBox]
    masks: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class InstanceSet:
    """A set as it is evaluated.

    Attributes:
        instances: all images and objects.
        prompted: the images that have a box.
        facts: plain values that change with the files.
        left_out: what is not used of them, a sentence each.
    """

    instances: Instances
    prompted: Sequence[PromptedImage]
    facts: Mapping[str, Any]
    left_out: Sequence[str]

    def truth(self, predicted: set[int]) -> dict[str, Any]:
        """The lists of `average_precision` of the images that have no box, and of those that were predicted.

        Args:
            predicted: ids of images.
        """
        missing = {image.key for image in self.prompted} - predicted
        images = [image for key, image in self.instances.images.items() if key not in missing]
        return {
            "images": [image.entry for image in images],
            "annotations": [each for image in images for each in image.objects],
            "categories": self.instances.categories,
        }


@dataclass(frozen=True)
class Files:
    """The files of a set, or of several where `NAME` stands in their paths.

    Attributes:
        annotations: JSON file in COCO's format.
        images: folder of the photos.
        boxes: a detector's results file, or `GROUND_TRUTH` for the boxes around the true masks.
    """

    annotations: str
    images: str
    boxes: str

    def of(self, name: str) -> Files:
        """Those of one set."""
        paths = {key: str(Path(value.replace(NAME, name)).expanduser()) for key, value in vars(self).items()}
        return Files(**paths)


@dataclass(frozen=True)
class Options:
    """How the files of a set are read.

    Attributes:
        max_boxes: most boxes of an image, those of the highest score; None takes all.
        class_agnostic: whether categories do not count.
        federated: whether the annotations are LVIS's, by whose rules boxes may not count in their image; those are
            not taken.
        strict: whether an entry that cannot be used is an error.
    """

    max_boxes: int | None
    class_agnostic: bool
    federated: bool
    strict: bool


def read_set(name: str, files: Files, options: Options) -> InstanceSet:
    """Reads a set.

    Args:
        name: of the set.
        files: of it alone.
        options: of reading.

    Raises:
        DataError: no box or no photo can be used; of a strict suite, naming all problems of the annotations, or of the
            detector's entries.
    """
    path = Path(files.annotations)
    instances = read_instances(path, options.federated, options.class_agnostic, options.strict)
    masks: Mapping[int, Sequence[Mapping[str, Any]]] = {}
    left_out = _left_out(name, path, instances.problems)
    if files.boxes == GROUND_TRUTH:
        boxes, masks = _true_boxes(instances)
    else:
        boxes, problems = _found_boxes(Path(files.boxes), instances, options)
        left_out += _left_out(name, Path(files.boxes), problems)
    folder = Path(files.images)
    stems = unique_stems([image.name for image in instances.images.values()])
    prompted = [
        PromptedImage(
            dataset=name,
            key=key,
            sample_id=f"{name}/{stem}",
            path=find_photo(folder, image.name),
            size=image.size,
            boxes=boxes[key],
            masks=masks.get(key, ()),
        )
        for (key, image), stem in zip(instances.images.items(), stems, strict=True)
        if boxes.get(key)
    ]
    if not prompted:
        raise_problems(str(path), instances.problems, "repair or download the file again")
        raise DataError(
            f"{files.boxes}: expected a box of an image of {files.annotations}; none can be used; use another file"
        )
    _refuse_wrong_folder(folder, prompted)
    return InstanceSet(instances, prompted, _facts(files, prompted), left_out)


def _true_boxes(instances: Instances) -> tuple[Boxes, dict[int, list[Mapping[str, Any]]]]:
    """Boxes around the true masks, and these masks, by image."""
    boxes: dict[int, list[FoundBox]] = {}
    masks: dict[int, list[Mapping[str, Any]]] = {}
    for key, image in instances.images.items():
        for each in image.objects:
            if box := true_box(each):
                boxes.setdefault(key, []).append(box)
                masks.setdefault(key, []).append(each["segmentation"])
    return boxes, masks


def _found_boxes(path: Path, instances: Instances, options: Options) -> tuple[Boxes, list[str]]:
    """A detector's boxes by image, and what is wrong with the entries that are left out."""
    every, problems = read_found_boxes(path, instances, options.class_agnostic)
    if options.strict:
        raise_problems(str(path), problems, "correct the entries, or set strict=false")
    most = options.max_boxes
    if options.federated:
        most = min(most or MAX_FEDERATED_RESULTS, MAX_FEDERATED_RESULTS)
    best = {key: sorted(found, key=lambda each: -each.score)[:most] for key, found in every.items()}
    if options.federated:
        best = {key: _counted(found, instances.images[key]) for key, found in best.items()}
    return best, problems


def _left_out(name: str, path: Path, problems: Sequence[str]) -> list[str]:
    """A sentence about what of a file is left out, if there is anything, which the log names in full."""
    if not problems:
        return []
    log.warning(as_lines(f"{name}: {len(problems)} entries of {path.name} left out", problems))
    return [f"{len(problems)} entries of {path.name}: {listed(problems)}"]


def _counted(found: Sequence[FoundBox], image: AnnotatedImage) -> list[FoundBox]:
    """The boxes that LVIS's rules count: of categories that are annotated in the image, or known to be absent."""
    known = {*image.entry["neg_category_ids"], *(each["category_id"] for each in image.objects)}
    return [each for each in found if each.category in known]


def _facts(files: Files, prompted: Sequence[PromptedImage]) -> dict[str, Any]:
    return {
        "annotations": file_sha256(Path(files.annotations)),
        "boxes": files.boxes if files.boxes == GROUND_TRUTH else file_sha256(Path(files.boxes)),
        "photos": content_sha256([file_fingerprint(each.path) for each in prompted if each.path.is_file()]),
    }


def _refuse_wrong_folder(folder: Path, prompted: Sequence[PromptedImage]) -> None:
    """An error where no photo at all is in a folder; single ones are missing where they are read."""
    if not any(each.path.is_file() for each in prompted):
        raise DataError(
            f"suite.images={folder}: expected the photos that the annotations name; none of {len(prompted)} is there, "
            f"such as {prompted[0].path.name}; set suite.images to their folder"
        )
