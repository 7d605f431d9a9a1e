"""Instance segmentation from boxes: average precision on COCO, LVIS, UVO and SGinW."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hqsam_lightning.checks import arguments, boolean, choice, integer, list_of, optional, text
from hqsam_lightning.data.segmentations import encode
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation.average_precision import AREAS, FREQUENCIES, KINDS, average_precision
from hqsam_lightning.evaluation.model import Encoded, Model
from hqsam_lightning.evaluation.scorer import ordered_table
from hqsam_lightning.evaluation.suites.base import Record, Setting, Suite
from hqsam_lightning.evaluation.suites.instance_examples import BoxExamples
from hqsam_lightning.evaluation.suites.instance_sets import GROUND_TRUTH, NAME, Files, Options, PromptedImage, read_set
from hqsam_lightning.evaluation.table import COLUMNS, WHOLE_SET, Row, make_table
from hqsam_lightning.metrics import Quantity
from hqsam_lightning.storage.files import write_whole
from hqsam_lightning.types import Batch, Example, PromptGroup

ARGUMENTS = {
    "names": list_of(text(1)),
    "max_boxes": optional(integer(1)),
    "class_agnostic": boolean(),
    "federated": boolean(),
    "exif": choice("apply", "ignore"),
    "strict": boolean(),
}


class InstanceSuite(Suite):
    """Images whose objects are prompted by boxes, scored by the average precision of a set.

    Each mask has the score and category of its box. Where the boxes are those around the true masks, scores are 1, and
    each mask is scored by the evaluation's metrics, too.

    Args:
        names: of the sets.
        annotations: JSON file in COCO's format; ``@name`` in this path and the next two stands for a set's name.
        images: folder of the photos.
        boxes: results file of a detector: image_id, bbox, category_id and score of each box; or ``"ground_truth"``.
        max_boxes: most boxes of an image, those of the highest score; None takes all. True boxes are all taken.
        class_agnostic: takes all categories for one.
        federated: the annotations are LVIS's, and its rules hold.
        exif: ``"apply"`` or ``"ignore"`` the EXIF orientation of photos.
        strict: whether an entry of a file that cannot be used is an error.

    Raises:
        ConfigError: a value cannot work.
        DataError: one for all problems of a file.
    """

    shows_boxes = True

    @arguments("suite", **ARGUMENTS)
    def __init__(
        self,
        names: Sequence[str],
        annotations: str,
        images: str,
        boxes: str = GROUND_TRUTH,
        max_boxes: int | None = None,
        class_agnostic: bool = False,
        federated: bool = False,
        exif: str = "apply",
        strict: bool = False,
    ) -> None:
        if not names or len(set(names)) != len(names):
            raise ConfigError(f"suite.names: expected at least one name, each once; got {list(names)}")
        if class_agnostic and federated:
            raise ConfigError("suite.federated: expected false where suite.class_agnostic is true; got true")
        files = Files(annotations, images, boxes)
        for key, value in vars(files).items():
            if len(names) > 1 and NAME not in value and value != GROUND_TRUTH:
                raise ConfigError(f"suite.{key}: expected {NAME} in the path, one of {len(names)} sets; got {value!r}")
        self.exif = exif
        self.options = Options(max_boxes, class_agnostic, federated, strict)
        self.prompts = GROUND_TRUTH if boxes == GROUND_TRUTH else "detections"
        self.sets = {name: read_set(name, files.of(name), self.options) for name in names}
        self._images = {image.sample_id: image for each in self.sets.values() for image in each.prompted}

    def examples(self, setting: Setting) -> Dataset[Example]:
        """The images that have a box, one set after another."""
        frame = setting.scorer.frame
        return BoxExamples(list(self._images.values()), frame, self._name(setting), self.exif == "apply")

    def facts(self) -> dict[str, Any]:
        """The files of each set, and how they are read."""
        return {"sets": {name: each.facts for name, each in self.sets.items()}, "exif": self.exif, **vars(self.options)}

    def score(self, setting: Setting, batch: Batch, model: Model) -> list[list[Record]]:
        """Keeps the run lengths of each image's masks, and the lines of the table that masks have."""
        encoded = model.encode(batch.images)
        images = [self._images[sample] for sample in dict.fromkeys(batch.sample_ids)]
        kept: list[dict[Row, Tensor]] = []
        masks: list[dict[Row, list[str]]] = [{row: [] for row in model.rows} for _ in images]
        for start, logits in _decoded(encoded, batch, model.masks_at_once):
            for row, of_row in logits.items():
                for number, one in enumerate(of_row, start):
                    place = int(batch.image_index[number])
                    mask = setting.scorer.frame.restore(one, images[place].size, batch.cut_of(number))
                    masks[place][row].append(_run_lengths(mask))
            if self.prompts == GROUND_TRUTH:
                kept.append(logits)
        lines = []
        if kept:
            lines = setting.scorer.lines(batch, {row: torch.cat([each[row] for each in kept]) for row in model.rows})
        return [
            [
                {
                    "dataset": image.dataset,
                    "image": image.key,
                    "masks": [[*row, counts] for row, counts in of_image.items()],
                    "lines": [list(line) for line in lines if line[COLUMNS.index("sample")] == image.sample_id],
                }
            ]
            for image, of_image in zip(images, masks, strict=True)
        ]

    def table(self, setting: Setting, records: Sequence[Record]) -> pd.DataFrame:
        """The average precision of each set, after the lines of masks."""
        prompts = self._name(setting)
        lines = []
        for name, row, results in self._results(records):
            predicted = {record["image"] for record in records if record["dataset"] == name}
            truth, options = self.sets[name].truth(predicted), self.options
            values = average_precision(
                truth, results, federated=options.federated, class_agnostic=options.class_agnostic
            )
            place = (name, WHOLE_SET, 0, prompts)
            lines += [
                (setting.scorer.run, *row, *place, metric, value, float("nan"), WHOLE_SET)
                for metric, value in values.items()
            ]
        of_masks = ordered_table([line for record in records for line in record["lines"]], list(self.sets), [prompts])
        return pd.concat([of_masks, make_table(lines)], ignore_index=True) if len(of_masks) else make_table(lines)

    def metrics(self, setting: Setting) -> Mapping[str, Quantity]:
        """The average precisions, after what masks are scored by where the boxes are true ones."""
        parts = ["", "50", "75", *AREAS[1:], *(f"_{each}" for each in FREQUENCIES if self.options.federated)]
        names = [pattern.format(part) for pattern in KINDS for part in parts]
        of_masks = setting.scorer.metrics if self.prompts == GROUND_TRUTH else {}
        return {**of_masks, **{name: Quantity(name) for name in names}}

    def left_out(self) -> Sequence[str]:
        """Entries that cannot be used."""
        return [f"{name}: {sentence}" for name, each in self.sets.items() for sentence in each.left_out]

    def write(self, folder: Path, setting: Setting, records: Sequence[Record]) -> None:
        """Writes SET/VARIANT-OUTPUT.json: results in COCO's format, with run lengths."""
        for name, (variant, output), results in self._results(records):
            file = folder / name / f"{variant.replace('/', '_')}-{output}.json"
            write_whole(file, json.dumps(results, allow_nan=False).encode())

    def _name(self, setting: Setting) -> str:
        """Name of the prompts in the table."""
        return self.prompts + setting.scorer.frame.suffix

    def _results(self, records: Sequence[Record]) -> Iterator[tuple[str, Row, list[dict[str, Any]]]]:
        """Yields the results of each set and row that has any."""
        for name, each in self.sets.items():
            images = {image.key: image for image in each.prompted}
            found: dict[Row, list[dict[str, Any]]] = {}
            for record in records:
                if record["dataset"] == name:
                    for variant, output, counts in record["masks"]:
                        results = _as_results(images[record["image"]], counts)
                        found.setdefault((variant, output), []).extend(results)
            yield from ((name, row, results) for row, results in found.items())


def _decoded(encoded: Encoded, batch: Batch, most: int) -> Iterator[tuple[int, dict[Row, Tensor]]]:
    """Yields the first row and the logits of some boxes after another, no more than one decoder call takes."""
    (group,) = batch.prompts
    assert group.boxes is not None
    for start in range(0, len(group.boxes), most):
        boxes, index = group.boxes[start : start + most], batch.image_index[start : start + most]
        rows = torch.arange(len(boxes), device=boxes.device)
        yield start, encoded.part(start, start + most).logits([PromptGroup(rows, boxes=boxes)], index)


def _run_lengths(mask: Tensor) -> str:
    """Of a (1, H0, W0) bool mask."""
    # they go down the columns, which the device puts one after the other
    columns = mask[0].T.contiguous()
    return encode(columns.cpu().numpy().T)["counts"]


def _as_results(image: PromptedImage, counts: Sequence[str]) -> Iterator[dict[str, Any]]:
    size = list(image.size)
    for box, text_ in zip(image.boxes, counts, strict=True):
        mask = {"size": size, "counts": text_}
        yield {"image_id": image.key, "category_id": box.category, "segmentation": mask, "score": box.score}
