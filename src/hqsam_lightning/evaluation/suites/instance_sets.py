"""Sets of images with annotated objects, and the boxes that prompt for each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from hqsam_lightning.data.examples import image_in_frame
from hqsam_lightning.data.framing import Frame
from hqsam_lightning.data.image_files import file_fingerprint
from hqsam_lightning.data.instances_json import FoundBox, Instances, read_found_boxes, read_instances, true_box
from hqsam_lightning.data.names import find_photo, unique_stems
from hqsam_lightning.data.problems import listed, raise_problems
from hqsam_lightning.data.reading import read_image
from hqsam_lightning.data.segmentations import decode
from hqsam_lightning.errors import DataError
from hqsam_lightning.storage.files import content_sha256, file_sha256
from hqsam_lightning.types import Example, Prompt

GROUND_TRUTH = "ground_truth"
NAME = "@name"
"""What stands for a set's name in paths."""


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
        federated: whether the annotations are LVIS's.
        strict: whether an entry of a detector that cannot be used is an error.
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
        DataError: naming all problems of the annotations; also where no box or no photo can be used, and, of a strict
            suite, for entries of the detector.
    """
    annotations, folder, boxes = Path(files.annotations), Path(files.images), Path(files.boxes)
    instances = read_instances(annotations, options.federated, options.class_agnostic)
    facts = {"annotations": file_sha256(annotations), "boxes": files.boxes}
    found: Mapping[int, Sequence[FoundBox]]
    masks: dict[int, list[Mapping[str, Any]]] = {}
    left_out = []
    if files.boxes == GROUND_TRUTH:
        pairs = {key: _objects_with_boxes(image.objects) for key, image in instances.images.items()}
        found = {key: [box for box, _ in of_image] for key, of_image in pairs.items()}
        masks = {key: [mask for _, mask in of_image] for key, of_image in pairs.items()}
    else:
        every, problems = read_found_boxes(boxes, instances, options.class_agnostic)
        if options.strict:
            raise_problems(str(boxes), problems, "correct the entries, or set strict=false")
        left_out += [f"{len(problems)} entries of {boxes.name}: {listed(problems)}"] if problems else []
        found = {key: _highest(each, options.max_boxes) for key, each in every.items()}
        facts["boxes"] = file_sha256(boxes)
    stems = unique_stems([image.name for image in instances.images.values()])
    prompted = [
        PromptedImage(
            dataset=name,
            key=key,
            sample_id=f"{name}/{stem}",
            path=find_photo(folder, image.name),
            size=image.size,
            boxes=found[key],
            masks=masks.get(key, []),
        )
        for (key, image), stem in zip(instances.images.items(), stems, strict=True)
        if found.get(key)
    ]
    if not prompted:
        raise DataError(f"{boxes}: expected a box of an image of {annotations}; none can be used; use another file")
    _refuse_wrong_folder(folder, prompted)
    facts["photos"] = content_sha256([file_fingerprint(each.path) for each in prompted if each.path.is_file()])
    return InstanceSet(instances, prompted, facts, left_out)


class BoxExamples(Dataset[Example]):
    """Images with their boxes as prompts.

    Args:
        images: in an order that stays.
        frame: fits images into the model's frame.
        prompts: name of the prompts.
        exif: whether photos are turned by their EXIF orientation.
    """

    def __init__(self, images: Sequence[PromptedImage], frame: Frame, prompts: str, exif: bool) -> None:
        self.images = images
        self.frame = frame
        self.prompts = prompts
        self.exif = exif

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Example:
        """Reads one image.

        Returns:
            An example with M empty masks, and M original ones where the boxes are those of true masks.

        Raises:
            DataError: the photo cannot be read, or has another size than its annotations.
        """
        known = self.images[index]
        image = read_image(known.path, self.exif)
        if image.shape[:2] != known.size:
            raise DataError(
                f"{known.path}: expected height x width {known.size[0]}x{known.size[1]} as the annotations say, got "
                f"{image.shape[0]}x{image.shape[1]}; use the photos that were annotated, or set suite.exif"
            )
        across, down = self.frame.scale(known.size)
        scale = torch.tensor([across, down, across, down])
        masks = [decode(mask, known.size) for mask in known.masks]
        return Example(
            image=image_in_frame(image, self.frame),
            masks=torch.zeros(len(known.boxes), 1, 0, 0),
            sample_id=known.sample_id,
            dataset=known.dataset,
            prompts={self.prompts: [Prompt(box=torch.tensor(each.box) / scale) for each in known.boxes]},
            original_masks=torch.from_numpy(np.stack(masks)) if masks else None,
        )


def _objects_with_boxes(objects: Sequence[Mapping[str, Any]]) -> list[tuple[FoundBox, Mapping[str, Any]]]:
    pairs = [(true_box(each), each["segmentation"]) for each in objects]
    return [(box, mask) for box, mask in pairs if box is not None]


def _highest(boxes: Sequence[FoundBox], most: int | None) -> Sequence[FoundBox]:
    return sorted(boxes, key=lambda each: -each.score)[:most]


def _refuse_wrong_folder(folder: Path, prompted: Sequence[PromptedImage]) -> None:
    """An error where no photo at all is in a folder; single ones are missing where they are read."""
    if not any(each.path.is_file() for each in prompted):
        raise DataError(
            f"suite.images={folder}: expected the photos that the annotations name; none of {len(prompted)} is there, "
            f"such as {prompted[0].path.name}; set suite.images to their folder"
        )
