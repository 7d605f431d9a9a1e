"""The paper's numbers of a table, and whether its order of rows is found again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml
from scipy import stats

from hqsam_lightning.checks import boolean, either, list_of, mapping_of, number, optional, text
from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.storage.files import UNREADABLE

COSTS = {
    "trainable_mib": "trainable MiB",
    "total_mib": "total MiB",
    "images_per_second": "images a second",
    "gpu_gib": "GPU GiB of inference",
    "train_hours": "hours of training",
}
"""What a method may cost, by the keys of a table.yaml, with its name in reports."""
COCO = ("ap_b", "ap")
LABELS = {"miou": "mIoU", "mbiou": "mBIoU"}
"""The paper's metrics by the keys of a table.yaml, with the labels that ours are found by."""

_PERCENT = optional(number(0, 100))
_PLAIN = optional(either(text(), boolean(), number()))
_VALUES = mapping_of(either(_PLAIN, list_of(_PLAIN)))
_KEYS = {
    **{"variant": text(1), "name": text(), "prompts": text(), "when": _VALUES, "miniature": _VALUES},
    **{"coco": mapping_of(number(0), COCO), "costs": mapping_of(number(0), tuple(COSTS))},
}
"""What the keys of a row have to be, "paper" aside."""


@dataclass(frozen=True)
class PaperRow:
    """A row of a table of the paper.

    Attributes:
        variant: what our experiment calls it.
        miou: in percent, or None where the paper gives none.
        mbiou: in percent, or None.
        name: of the row; that of the variant unless several rows have it.
        prompts: name in ``val_prompts`` of those that the row is scored by; "" is the first.
        when: config keys and values that tell the row's run from the others.
        miniature: those of the run that stands for it in the miniature; none where it is `when` there too.
        sets: mIoU and mBIoU in percent by validation set, where the paper gives no mean but these.
        scores: in percent, by the labels of other metrics, where the paper gives these instead.
        coco: box-prompted boundary AP and mask AP on COCO in percent, by "ap_b" and "ap", where the paper gives them.
        costs: by the keys of `COSTS`.
    """

    variant: str
    miou: float | None
    mbiou: float | None
    name: str = ""
    prompts: str = ""
    when: Mapping[str, Any] = field(default_factory=dict)
    miniature: Mapping[str, Any] = field(default_factory=dict)
    sets: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    scores: Mapping[str, float | None] = field(default_factory=dict)
    coco: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.variant)


@dataclass(frozen=True)
class Agreement:
    """How an order of rows agrees with the paper's.

    Attributes:
        tau: Kendall's tau-b from -1 (reversed) to 1 (the same); None where there is no order, as in one row alone.
        compared: rows that both have.
        swapped: (a, b): the paper has a above b, and here b is above a.
    """

    tau: float | None
    compared: int
    swapped: list[tuple[str, str]]


def read_paper_table(path: Path) -> list[PaperRow]:
    """Reads the rows of an experiment's table.yaml.

    Raises:
        ConfigError: where there is no such file.
        DataError: naming the file and what is not as expected.
    """
    if not path.is_file():
        raise ConfigError(f"table={path}: expected a table.yaml such as experiments/*/table.yaml; found no file")
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))["rows"]
        table = [_paper_row(row) for row in rows]
    except (*UNREADABLE, yaml.YAMLError) as error:
        raise DataError(
            f"{path}: expected rows of {{variant: NAME, paper: {{miou: NUMBER, mbiou: NUMBER}}}}; got {error!r}"
        ) from error
    repeated = {row.name for row in table if sum(other.name == row.name for other in table) > 1}
    if repeated:
        raise DataError(f"{path}: expected rows of different names; got several of {', '.join(sorted(repeated))}")
    return table


def compare_order(paper: Mapping[str, float], ours: Mapping[str, float]) -> Agreement:
    """Compares two orders of rows by their numbers, the higher first.

    Rows that only one of them has are left out; a tie puts no row above another.
    """
    names = [name for name in paper if name in ours]
    swapped = []
    for pair in combinations(names, 2):
        upper, lower = sorted(pair, key=lambda name: paper[name], reverse=True)
        if paper[upper] > paper[lower] and ours[upper] < ours[lower]:
            swapped.append((upper, lower))
    theirs, own = [paper[name] for name in names], [ours[name] for name in names]
    has_order = len(set(theirs)) > 1 and len(set(own)) > 1
    tau = float(stats.kendalltau(theirs, own).statistic) if has_order else None
    return Agreement(tau, len(names), swapped)


def _paper_row(row: dict[str, Any]) -> PaperRow:
    given = dict(row)
    paper = given.pop("paper")
    for key, value in given.items():
        if key not in _KEYS:
            raise ValueError(f"unknown key {key!r}")
        if problem := _KEYS[key].problem(value):
            raise ValueError(f"{key}: {problem}")
    if all(value is None or isinstance(value, int | float) for value in paper.values()) and "miou" not in paper:
        return PaperRow(**given, miou=None, mbiou=None, scores=_scores(paper))
    by_set = {"": paper} if "miou" in paper else paper
    sets = {str(name): _pair(numbers) for name, numbers in by_set.items()}
    miou, mbiou = sets.pop("", (None, None))
    return PaperRow(**given, miou=miou, mbiou=mbiou, sets=sets)


def _scores(numbers: Mapping[str, Any]) -> dict[str, float | None]:
    for label, value in numbers.items():
        if problem := _PERCENT.problem(value):
            raise ValueError(f"{label}: {problem}")
    return {str(label): value for label, value in numbers.items()}


def _pair(numbers: Mapping[str, Any]) -> tuple[float | None, float | None]:
    for key in LABELS:
        if problem := _PERCENT.problem(numbers[key]):
            raise ValueError(f"{key}: {problem}")
    return numbers["miou"], numbers["mbiou"]
