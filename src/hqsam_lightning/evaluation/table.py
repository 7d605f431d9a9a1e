"""The table of scores: one line per mask, variant, output, prompts and metric; its file, means and differences.

Means add their values in the order of the lines, so that they do not depend on how many methods or metrics a table has.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from hqsam_lightning.checks import show
from hqsam_lightning.errors import DataError
from hqsam_lightning.shapes import THIN_ABOVE
from hqsam_lightning.storage.files import UNREADABLE, require_regular_file, write_whole

Row = tuple[str, str]
"""(variant, output): a method and which of its logits are scored: "sam", "hq", "sum", or "box" for the filled box."""

BASELINE = "sam"
BASELINE_ROW: Row = (BASELINE, "sam")
BOX_ROW: Row = ("box", "box")
OUTPUTS = ("sam", "hq", "sum", "box")
GROUPS_OF_OBJECTS = ("all", "thin", "solid")

COLUMNS = (
    *("run", "variant", "output", "dataset", "sample", "mask", "prompts", "metric", "value"),
    *("thinness", "group"),
)
"""Columns of a table.

run: name of the run or of the evaluation; variant, output: see `Row`; dataset: validation set; sample: id of the image;
mask: index of the mask within its image; prompts: name of the prompts that SAM was shown; metric: its key in the
config's `metrics`; value: see there; thinness: of the true mask, see `shapes.thinness`, ignored pixels count as
background; group: unit of the bootstrap, the sample unless `evaluation.group` says otherwise. A score of a whole set
has `WHOLE_SET` as sample and group, mask 0 and NaN as thinness.
"""
WHOLE_SET = "*"
MASK = ("run", "dataset", "sample", "mask", "prompts")
"""Columns that name a mask as it was scored."""
CELL = ("run", "variant", "output", "dataset", "prompts", "group_of_objects", "metric")
"""Columns that name a mean or a difference."""
SCORES_FILE = "scores.csv"

CONFIDENCE = 0.95
RESAMPLES = 2000
RESAMPLES_AT_ONCE = 100  # bounds the memory that thousands of images take
SEED = 0

_NUMBERS = {"mask": r"[0-9]{1,9}", "value": r"-?[0-9.]+(e[+-]?[0-9]+)?", "thinness": r"nan|[0-9.]+(e-?[0-9]+)?"}
_TYPES = {"mask": int, "value": float, "thinness": float}
_REMEDY = "the file is damaged: run it again"


def make_table(lines: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """The table of lines, each with the values of `COLUMNS` in their order."""
    return pd.DataFrame(lines, columns=list(COLUMNS), dtype=object).astype(_TYPES)


def of_objects(table: pd.DataFrame, group: str) -> pd.DataFrame:
    """The lines of "all", "thin" or "solid" objects; those of whole sets are of neither of the last two."""
    if group == "all":
        return table
    return table[table["thinness"] > THIN_ABOVE] if group == "thin" else table[table["thinness"] <= THIN_ABOVE]


def is_row(table: pd.DataFrame, row: Row) -> pd.Series:
    """Which lines are of a (variant, output)."""
    return (table["variant"] == row[0]) & (table["output"] == row[1])


def rows_of(table: pd.DataFrame) -> list[Row]:
    """The (variant, output) pairs of a table, in its order."""
    return list(table[["variant", "output"]].drop_duplicates().itertuples(index=False, name=None))


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Means over masks by run, variant, output, dataset, prompts, group of objects and metric.

    Returns:
        The columns of `CELL`, "mean" and "masks" (how many); all objects first, otherwise in the order of the table. A
        group without a mask has no line.
    """
    return _means(_by_objects(table), CELL, "masks").rename(columns={"value": "mean"})


def mean_over_sets(means: pd.DataFrame, row: Row, prompts: str) -> dict[str, float]:
    """Mean over the datasets of a row's means of all objects, by metric.

    Args:
        means: of `summarise`.
        row: (variant, output).
        prompts: name of the prompts.
    """
    chosen = means[is_row(means, row) & (means["prompts"] == prompts) & (means["group_of_objects"] == "all")]
    by_metric = chosen.groupby("metric", sort=False)["mean"].agg(list)
    return {metric: sum(values) / len(values) for metric, values in by_metric.items()}


def differences(table: pd.DataFrame, pool_runs: bool = False) -> pd.DataFrame:
    """Paired differences to plain SAM on the same masks, with 95 % percentile bootstrap intervals over units.

    A unit is what the column "group" names. Its masks are averaged first, since masks of one image are not independent
    of each other; where units have several masks, the mean over units is therefore not exactly the difference of two
    means over masks. The same units always give the same interval.

    Args:
        table: with the lines of plain SAM.
        pool_runs: average each unit's difference over the runs of the table, such as seeds of one recipe, before
            anything is said about the units; the column "run" is then empty.

    Returns:
        The columns of `CELL`, "mean", "low", "high" (NaN for a single unit) and "units" (how many).
    """
    units = unit_differences(table)
    if pool_runs:
        units = _means(units.assign(run=""), [*CELL, "group"])
    units = units.sort_values("group", kind="stable")
    found = _means(units, CELL, "units").rename(columns={"value": "mean"})
    keys = [units[name] for name in ("run", "dataset", "prompts", "group_of_objects")]
    ends = [_ends(part) for _, part in units.groupby([*keys, units["group"] == WHOLE_SET], sort=False)]
    return found.merge(pd.concat(ends), on=[*CELL], validate="one_to_one") if ends else found.assign(low=[], high=[])


def unit_differences(table: pd.DataFrame) -> pd.DataFrame:
    """The paired differences of `differences`, one per unit: the columns of `CELL`, "group" and "value"."""
    of_sam = table.loc[is_row(table, BASELINE_ROW), [*MASK, "metric", "value"]]
    others = table[table["variant"] != BASELINE]
    paired = others.merge(of_sam, on=[*MASK, "metric"], suffixes=("", "_of_sam"), validate="many_to_one")
    paired["value"] -= paired.pop("value_of_sam")
    return _means(_by_objects(paired), [*CELL, "group"])


def as_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines as plain values for JSON; None for NaN."""
    return list(frame.astype(object).where(frame.notna(), None).to_dict("records"))


def write_table(path: Path, table: pd.DataFrame) -> str:
    """Writes every digit, so that means of the file are those of the table.

    Returns:
        SHA-256 of the file.

    Raises:
        StorageError: see `write_whole`.
    """
    content = to_csv(table)
    write_whole(path, content)
    return hashlib.sha256(content).hexdigest()


def to_csv(table: pd.DataFrame) -> bytes:
    """What `write_table` writes."""
    text = table.to_csv(columns=list(COLUMNS), index=False, lineterminator="\n", na_rep="nan")
    return text.encode()


def read_table(path: Path) -> pd.DataFrame:
    """Reads what `write_table` wrote.

    Raises:
        DataError: naming the file, and the line that is not as expected.
    """
    require_regular_file(path, DataError, "run it again")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: expected a table of scores, cannot read it ({error}); {_REMEDY}") from error
    return parse_table(content, str(path))


def parse_table(content: bytes, place: str) -> pd.DataFrame:
    """Reads what `to_csv` gave.

    Args:
        content: of a file.
        place: what errors call it.

    Raises:
        DataError: naming the place, and the line that is not as expected.
    """
    table = _parse(content, place)
    _refuse((table == "").any(axis=1), table, place, f"{len(COLUMNS)} values")
    _refuse(~table["output"].isin(OUTPUTS), table, place, f"an output of {', '.join(OUTPUTS)}")
    for name, pattern in _NUMBERS.items():
        _refuse(~table[name].str.fullmatch(pattern), table, place, f"a number as {name}")
    try:
        table = table.astype(_TYPES)
    except UNREADABLE as error:
        raise DataError(f"{place}: expected numbers as mask, value and thinness; got {error}; {_REMEDY}") from error
    _check(table, place)
    return table


def _parse(content: bytes, place: str) -> pd.DataFrame:
    """Texts of the columns; NaN where a line ends early."""
    try:
        table = pd.read_csv(
            io.BytesIO(content),
            dtype=object,
            keep_default_na=False,
            skip_blank_lines=False,
        )
    except UNREADABLE as error:
        raise DataError(f"{place}: expected a table of scores, cannot read it ({error}); {_REMEDY}") from error
    # pandas takes a first column without a name as the index
    if tuple(table.columns) != COLUMNS or not isinstance(table.index, pd.RangeIndex):
        found = show(list(table.columns))
        raise DataError(f"{place}: expected the columns {','.join(COLUMNS)}; got {found}; run it again")
    return table


def _check(table: pd.DataFrame, place: str) -> None:
    finite = np.isfinite(table["value"])
    _refuse(~finite, table, place, "a finite value")
    _refuse(table["thinness"] > 1, table, place, "a thinness in [0, 1]")
    _refuse(table.duplicated([*COLUMNS[:8]]), table, place, "each mask's row and metric once")
    facts = table.groupby(["run", "dataset", "sample", "mask"], sort=False)[["thinness", "group"]].transform("first")
    same = (facts == table[["thinness", "group"]]) | facts.isna()
    _refuse(~same.all(axis=1), table, place, "one thinness and group per mask")
    whole = table["sample"] == WHOLE_SET
    _refuse(table["thinness"].isna() != whole, table, place, f"a thinness, except of a whole set ({WHOLE_SET})")
    names = table["variant"] + "/" + table["output"] + "/" + table["metric"]
    counts = names.groupby([table[name] for name in MASK], sort=False).transform("size")
    sets = [table["run"], table["dataset"], table["prompts"], whole]
    expected = names.groupby(sets, sort=False).transform("nunique")
    _refuse(counts != expected, table, place, "every row and metric of each mask")
    with_sam = is_row(table, BASELINE_ROW).groupby([table[name] for name in MASK], sort=False).transform("any")
    _refuse(~with_sam, table, place, f"plain SAM's {BASELINE_ROW} for each mask")


def _refuse(bad: pd.Series, table: pd.DataFrame, place: str, expected: str) -> None:
    """Raises a `DataError` that names the first bad line; the head is line 1."""
    if bad.any():
        position = int(bad.to_numpy().argmax())
        line = list(table.astype(object).iloc[position])
        raise DataError(f"{place}, line {position + 2}: expected {expected}; got {line}; {_REMEDY}")


def _by_objects(table: pd.DataFrame) -> pd.DataFrame:
    """The lines of each group of objects, one group below the other."""
    parts = [of_objects(table, group).assign(group_of_objects=group) for group in GROUPS_OF_OBJECTS]
    return pd.concat(parts, ignore_index=True)


def _means(lines: pd.DataFrame, keys: Sequence[str], count: str | None = None) -> pd.DataFrame:
    """Mean "value" of the lines with equal keys, in their order, and how many there are."""
    places = lines.groupby([*keys], sort=False).ngroup().to_numpy()
    counts = np.bincount(places)
    means = lines[[*keys]].drop_duplicates().reset_index(drop=True)
    means["value"] = np.bincount(places, weights=lines["value"]) / counts
    return means if count is None else means.assign(**{count: counts})


def _ends(units: pd.DataFrame) -> pd.DataFrame:
    """Ends of the intervals of the lines of one run, dataset, prompts and group of objects."""
    names = ["variant", "output", "metric"]
    values = units.pivot(index="group", columns=names, values="value")
    low, high = _interval(values.to_numpy())
    same = units.iloc[0][["run", "dataset", "prompts", "group_of_objects"]].to_dict()
    return values.columns.to_frame(index=False).assign(**same, low=low, high=high)


def _interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval of the mean of each column of (units, columns)."""
    units, columns = values.shape
    if units < 2:
        return np.full(columns, np.nan), np.full(columns, np.nan)
    # numpy adds the values of a single column in another order
    at_least_two = np.column_stack([values, values[:, -1]])
    interval = stats.bootstrap(
        (at_least_two,),
        np.mean,
        axis=0,
        method="percentile",
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        batch=RESAMPLES_AT_ONCE,
        random_state=np.random.default_rng(SEED),
    ).confidence_interval
    return interval.low[:columns], interval.high[:columns]
