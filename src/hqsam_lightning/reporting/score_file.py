"""scores.csv: the scores of every mask, one line per mask and row of the table."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hqsam_lightning.errors import DataError
from hqsam_lightning.evaluation.scores import BASELINE_ROW, MaskScores, Row
from hqsam_lightning.storage.files import UNREADABLE, require_regular_file, write_whole

SCORES_FILE = "scores.csv"
COLUMNS = ("dataset", "sample_id", "mask", "thin", "thinness", "variant", "output", "iou", "biou")
OUTPUTS = ("sam", "hq", "sum")
REMEDY = "the file is damaged: run it again"


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
    for place, line in _lines(path):
        try:
            _add(masks, line)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}, line {place}: expected {','.join(COLUMNS)}; got {list(line.values())} ({error}); {REMEDY}"
            ) from error
    read = list(masks.values())
    for mask in read:
        if mask.scores.keys() != read[0].scores.keys() or BASELINE_ROW not in mask.scores:
            raise DataError(
                f"{path}: expected the rows {list(read[0].scores)}, plain SAM's {BASELINE_ROW} among them, for every "
                f"mask; mask {mask.mask} of {mask.sample_id!r} has {list(mask.scores)}; {REMEDY}"
            )
    return read


def _lines(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Each line with its number."""
    require_regular_file(path, DataError, "run it again")
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            reader = csv.DictReader(file, strict=True)
            head = tuple(reader.fieldnames or ())
            lines = [(reader.line_num, line) for line in reader] if head == COLUMNS else []
    except UNREADABLE as error:
        raise DataError(f"{path}: expected a CSV file, cannot read it ({error}); {REMEDY}") from error
    if head != COLUMNS:
        raise DataError(f"{path}: expected the columns {','.join(COLUMNS)}; got {list(head)}; run it again")
    yield from lines


def _add(masks: dict[tuple[str, str, int], MaskScores], line: Mapping[str, str]) -> None:
    if None in line or None in line.values():
        raise ValueError(f"expected {len(COLUMNS)} values")
    if not line["dataset"] or not line["sample_id"]:
        raise ValueError("expected a dataset and a sample_id")
    if line["thin"] not in ("0", "1"):
        raise ValueError("thin: expected 0 or 1")
    key = (line["dataset"], line["sample_id"], _index(line["mask"]))
    shape = _number("thinness", line["thinness"])
    mask = masks.setdefault(key, MaskScores(*key, shape, {}))
    row = _row(line)
    if mask.thinness != shape:
        raise ValueError(f"expected one thinness per mask, {mask.thinness} before")
    if row in mask.scores:
        raise ValueError("this mask has the row already")
    mask.scores[row] = (_number("iou", line["iou"]), _number("biou", line["biou"]))


def _row(line: Mapping[str, str]) -> Row:
    if not line["variant"] or line["output"] not in OUTPUTS:
        raise ValueError(f"expected a variant and an output of {', '.join(OUTPUTS)}")
    return line["variant"], line["output"]


def _index(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError("mask: expected an index of 0 or more")
    return int(text)


def _number(name: str, text: str) -> float:
    value = float(text)
    # NaN fails every comparison
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"{name}: expected a number in [0, 1]")
    return value
