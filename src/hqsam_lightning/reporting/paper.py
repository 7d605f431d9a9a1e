"""The paper's numbers of a table, and whether its order of rows is found again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml
from scipy import stats

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
    """Compares two orders of the same rows, the higher number first.

    Rows that only one of them has are left out; a tie puts no row above another.

    Args:
        paper: number per variant.
        ours: number per variant.
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
    paper = row["paper"]
    by_set = {} if "miou" in paper else {str(name): _pair(numbers) for name, numbers in paper.items()}
    miou, mbiou = (None, None) if by_set else _pair(paper)
    coco, costs = (_numbers(row, name, known) for name, known in (("coco", COCO), ("costs", COSTS)))
    unknown = row.keys() - {"variant", "paper", "name", "prompts", "when", "miniature", "coco", "costs"}
    if unknown:
        raise ValueError(f"unknown key {sorted(map(str, unknown))[0]!r}")
    return PaperRow(
        variant=_text(row["variant"], "variant"),
        miou=miou,
        mbiou=mbiou,
        name=_text(row.get("name", ""), "name"),
        prompts=_text(row.get("prompts", ""), "prompts"),
        when=_when(row.get("when", {})),
        miniature=_when(row.get("miniature", {})),
        sets=by_set,
        coco=coco,
        costs=costs,
    )


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str | int | float):
        raise ValueError(f"{key}: expected a name, got {type(value).__name__}")
    return str(value)


def _when(values: Any) -> dict[str, Any]:
    for key, value in dict(values).items():
        inner = value if isinstance(value, list) else [value]
        if not all(each is None or isinstance(each, str | int | float) for each in inner):
            raise ValueError(f"when.{key}: expected a plain value or a list of them")
    return {str(key): value for key, value in values.items()}


def _numbers(row: Mapping[str, Any], name: str, known: Iterable[str]) -> dict[str, float]:
    numbers = {str(key): _number(value, key) for key, value in row.get(name, {}).items()}
    unknown = sorted(numbers.keys() - set(known))
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r} in {name}")
    return numbers


def _pair(numbers: Mapping[str, Any]) -> tuple[float | None, float | None]:
    miou, mbiou = (
        None if numbers[metric] is None else _number(numbers[metric], metric, 100) for metric in ("miou", "mbiou")
    )
    return miou, mbiou


def _number(value: Any, key: str, most: float = 1e9) -> float:
    number = float(value)
    # NaN fails every comparison
    if not 0 <= number <= most:
        raise ValueError(f"{key}: expected a number in [0, {most:g}], got {number}")
    return number
