"""scores.csv: the scores of every mask, a line a mask and row of the table."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

from hqsam_lightning.errors import DataError
from hqsam_lightning.files import write_whole
from hqsam_lightning.training.scores import MaskScores

SCORES_FILE = "scores.csv"
COLUMNS = ("dataset", "sample_id", "mask", "thin", "thinness", "variant", "output", "iou", "biou")


def write_scores(path: Path, masks: Sequence[MaskScores]) -> str:
    """Writes every digit, so that means of the file are those of the table.

    Returns:
        SHA-256 of the file.

    Raises:
        StorageError: see `write_whole`.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for mask in masks:
        shape = (mask.dataset, mask.sample_id, mask.mask, int(mask.thin), mask.thinness)
        writer.writerows((*shape, *row, *pair) for row, pair in mask.scores.items())
    # file names of other encodings come back as they were
    content = text.getvalue().encode("utf-8", "surrogateescape")
    write_whole(path, content)
    return hashlib.sha256(content).hexdigest()


def read_scores(path: Path) -> list[MaskScores]:
    """Reads what `write_scores` wrote; "thin" follows anew from the thinness.

    Raises:
        DataError: naming the file, and the line or the mask that is not as expected.
    """
    masks: dict[tuple[str, str, int], MaskScores] = {}
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise DataError(f"{path}: expected the columns {','.join(COLUMNS)}; got {reader.fieldnames}; run it again")
        for line in reader:
            try:
                key = (line["dataset"], line["sample_id"], int(line["mask"]))
                mask = masks.setdefault(key, MaskScores(*key, float(line["thinness"]), {}))
                mask.scores[line["variant"], line["output"]] = (float(line["iou"]), float(line["biou"]))
            except (TypeError, ValueError) as error:
                raise DataError(
                    f"{path}, line {reader.line_num}: expected {','.join(COLUMNS)}; got {list(line.values())}; "
                    "the file is damaged: run it again"
                ) from error
    read = list(masks.values())
    for mask in read:
        if mask.scores.keys() != read[0].scores.keys():
            raise DataError(
                f"{path}: expected the rows {list(read[0].scores)} for every mask; mask {mask.mask} of "
                f"{mask.sample_id} has {list(mask.scores)}; the file is damaged: run it again"
            )
    return read
