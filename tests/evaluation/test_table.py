"""The table comes back digit for digit, a damaged one is named with its line; means and paired differences."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hqsam_lightning.errors import DataError
from hqsam_lightning.evaluation.table import (
    COLUMNS,
    WHOLE_SET,
    as_records,
    differences,
    make_table,
    mean_over_sets,
    read_table,
    summarise,
    write_table,
)

HEAD = ",".join(COLUMNS)
ROWS = (("sam", "sam"), ("hq", "hq"))


def lines_of(sample: str, mask: int, values: dict, thinness: float = 0.0, dataset: str = "a", run: str = "r") -> list:
    """A line per row and metric, of {row: (iou, boundary_iou)}."""
    return [
        (run, *row, dataset, sample, mask, "box", metric, value, thinness, sample)
        for row, pair in values.items()
        for metric, value in zip(("iou", "boundary_iou"), pair, strict=True)
    ]


def with_gains(gains: dict[tuple[str, int], float], run: str = "r") -> pd.DataFrame:
    """What HQ gains over SAM for each (sample, mask); of the boundary IoU half as much."""
    lines = []
    for (sample, mask), gain in gains.items():
        pairs = {("sam", "sam"): (0.5, 0.25), ("hq", "hq"): (0.5 + gain, 0.25 + gain / 2)}
        lines += lines_of(sample, mask, pairs, run=run)
    return make_table(lines)


def random_table(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    lines = []
    for number in range(20):
        for mask in range(1 + number % 3):
            pairs = {row: tuple(rng.random(2).tolist()) for row in ROWS}
            lines += lines_of(f"a/{number:02d}, café\n", mask, pairs, float(rng.random()))
    return make_table(lines)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    table = random_table()
    write_table(tmp_path / "scores.csv", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "scores.csv"), table)
    assert (tmp_path / "scores.csv").read_text().startswith(f"{HEAD}\nr,sam,sam,a,")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("r,hq,hq,a,x,0,box,iou,nan,0.5,x", "a number as value"),
        ("r,hq,hq,a,x,0,box,iou,0.5,1.5,x", "a thinness in"),
        ("r,hq,hq,a,x,0,box,iou,0.5,inf,x", "a number as thinness"),
        ("r,hq,hq,a,x,-1,box,iou,0.5,0.5,x", "a number as mask"),
        ("r,hq,hq,a,x,1.0,box,iou,0.5,0.5,x", "a number as mask"),
        ("r,hq,logits,a,x,0,box,iou,0.5,0.5,x", "an output of sam, hq, sum, box"),
        ("r,,hq,a,x,0,box,iou,0.5,0.5,x", "11 values"),
        ("r,hq,hq,a,x,0,box,iou,0.5", "11 values"),
        ("", "11 values"),
        ("r,sam,sam,a,x,0,box,iou,0.5,0.5,x", "each mask's row and metric once"),
        ("r,hq,hq,a,x,0,box,iou,0.5,0.6,x", "one thinness and group per mask"),
        ("r,sam,sam,a,y,0,box,other,0.5,0.5,y", "every row and metric of each mask"),
        ("r,hq,hq,b,y,0,box,iou,0.5,0.5,y", "plain SAM's"),
    ],
)
def test_an_odd_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(f"{HEAD}\nr,sam,sam,a,x,0,box,iou,0.5,0.5,x\n{line}\n")
    # a mask that lacks lines is named by its first
    with pytest.raises(DataError, match=rf"scores\.csv, line [23]: expected ({message})"):
        read_table(path)


@pytest.mark.parametrize("content", [b"\x00", b"a" * 200_000, b'"', b"", b"\xff\xfe", b"dataset,iou\na,0.5\n"])
def test_bytes_that_are_no_table_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scores.csv"
    path.write_bytes(f"{HEAD}\n".encode() + content if content == b'"' else content)
    with pytest.raises(DataError, match=r"scores\.csv: expected"):
        read_table(path)


@pytest.mark.parametrize("extra", [1, 3])
def test_a_line_with_more_values_is_refused(tmp_path: Path, extra: int) -> None:
    path = tmp_path / "scores.csv"
    line = "r,sam,sam,a,x,{},box,iou,0.5,0.5,x"
    path.write_text("\n".join([HEAD, *(line.format(mask) + (",9" if mask >= extra - 1 else "") for mask in range(4))]))
    with pytest.raises(DataError, match=r"scores\.csv: expected"):
        read_table(path)


@pytest.mark.parametrize("damage", ["half a line", "no number"])
def test_a_damaged_line_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "scores.csv"
    write_table(path, with_gains({("x", 0): 0.1, ("y", 0): 0.2}))
    lines = path.read_text().splitlines()
    cells = lines[4].split(",")
    lines[4] = lines[4][:20] if damage == "half a line" else ",".join([*cells[:8], "high", *cells[9:]])
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"scores\.csv, line 5: expected"):
        read_table(path)


def test_means_are_over_masks_of_each_group() -> None:
    values = [("a", 0.0, 0.1), ("a", 0.9, 0.4), ("a", 0.8, 0.7), ("b", 0.1, 0.5)]
    lines = []
    for place, (dataset, thinness, value) in enumerate(values):
        lines += lines_of(f"{place}", 0, {("hq", "hq"): (value, value / 2)}, thinness, dataset)
    means = summarise(make_table(lines))
    found = means.set_index(["dataset", "group_of_objects", "metric"])["mean"].to_dict()
    expected = {("a", "all"): 0.4, ("a", "thin"): 0.55, ("a", "solid"): 0.1, ("b", "all"): 0.5, ("b", "solid"): 0.5}
    assert found.keys() == {(*key, metric) for key in expected for metric in ("iou", "boundary_iou")}
    for key, value in expected.items():
        assert found[(*key, "iou")] == pytest.approx(value)
        assert found[(*key, "boundary_iou")] == pytest.approx(value / 2)
    counts = means[means["metric"] == "iou"].set_index(["dataset", "group_of_objects"])["masks"]
    assert [counts["a", group] for group in ("all", "thin", "solid")] == [3, 2, 1]
    over_sets = mean_over_sets(means, ("hq", "hq"), "box")
    assert over_sets == pytest.approx({"iou": 0.45, "boundary_iou": 0.225})


def test_means_do_not_depend_on_the_methods_and_metrics_beside() -> None:
    """To the last digit, which numpy's mean of one column and pandas' are not."""
    table = random_table()
    alone = table[(table["variant"] == "hq") & (table["metric"] == "iou")]
    together = summarise(table)
    part = together[(together["variant"] == "hq") & (together["metric"] == "iou")]
    assert summarise(alone)["mean"].tolist() == part["mean"].tolist()
    both = differences(table)
    one = differences(table[table["metric"] == "iou"])
    pd.testing.assert_frame_equal(one, both[both["metric"] == "iou"].reset_index(drop=True), check_exact=True)


def test_masks_of_an_image_are_averaged_first() -> None:
    found = differences(with_gains({("x", 0): 0.5, ("x", 1): 0.25, ("y", 0): 0.0}))
    overall = found[found["group_of_objects"] == "all"].set_index("metric")
    assert overall["mean"].to_dict() == {"iou": 0.1875, "boundary_iou": 0.09375}, "not the mean over the three masks"
    assert overall["units"].tolist() == [2, 2]


def test_the_interval_is_close_to_students() -> None:
    """For 200 values of a normal distribution the two agree; wrong percentiles or unpaired resampling do not."""
    values = np.random.default_rng(0).normal(0.03, 0.05, 200)
    found = differences(with_gains({(f"{place:03d}", 0): value for place, value in enumerate(values)}))
    line = found[(found["group_of_objects"] == "all") & (found["metric"] == "iou")].iloc[0]
    error = values.std(ddof=1) / np.sqrt(200)
    expected = stats.t.interval(0.95, 199, loc=values.mean(), scale=error)
    assert line["mean"] == pytest.approx(values.mean())
    assert (line["low"], line["high"]) == pytest.approx(expected, abs=0.15 * error)


def test_the_interval_is_that_of_a_plain_bootstrap() -> None:
    values = np.random.default_rng(1).exponential(1, 30)
    found = differences(with_gains({(f"{place:02d}", 0): value for place, value in enumerate(values)}))
    line = found[(found["group_of_objects"] == "all") & (found["metric"] == "iou")].iloc[0]
    rng = np.random.default_rng(2)
    means = [values[rng.integers(0, 30, 30)].mean() for _ in range(4000)]
    assert (line["low"], line["high"]) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), rel=0.04)


def test_the_unit_is_the_group() -> None:
    """Two clips of many frames have the interval of two values, not of many."""
    gains = {(f"clip_{place % 2}/{place}", 0): [0.1, 0.3][place % 2] for place in range(40)}
    table = with_gains(gains)
    table["group"] = table["sample"].str.split("/").str[0]
    line = differences(table).iloc[0]
    assert (line["units"], line["mean"]) == (2, pytest.approx(0.2))
    assert (line["low"], line["high"]) == (pytest.approx(0.1), pytest.approx(0.3))


def test_the_interval_does_not_depend_on_the_order_or_the_time() -> None:
    gains = {(f"{place:02d}", 0): value for place, value in enumerate(np.random.default_rng(0).normal(size=20))}
    there, back = differences(with_gains(gains)), differences(with_gains(dict(reversed(gains.items()))))
    pd.testing.assert_frame_equal(there, back, check_exact=True)


def test_one_image_has_no_interval_and_equal_ones_a_point() -> None:
    (line,) = as_records(
        differences(with_gains({("x", 0): 0.5})).query("metric == 'iou' and group_of_objects == 'all'")
    )
    assert (line["units"], line["mean"], line["low"], line["high"]) == (1, 0.5, None, None)
    equal = differences(with_gains({(name, 0): 0.5 for name in "xyz"})).iloc[0]
    assert (equal["mean"], equal["low"], equal["high"]) == (0.5, 0.5, 0.5)


def test_seeds_are_averaged_for_each_image() -> None:
    runs = [with_gains({("x", 0): gain, ("y", 0): 2 * gain}, str(gain)) for gain in (0.1, 0.3)]
    apart = differences(pd.concat(runs)).query("metric == 'iou' and group_of_objects == 'all'")
    assert apart.set_index("run")["mean"].to_dict() == pytest.approx({"0.1": 0.15, "0.3": 0.45})
    (pooled,) = as_records(
        differences(pd.concat(runs), pool_runs=True).query("metric == 'iou' and group_of_objects == 'all'")
    )
    assert (pooled["units"], pooled["mean"]) == (2, pytest.approx(0.3))
    assert (pooled["low"], pooled["high"]) == (pytest.approx(0.2), pytest.approx(0.4))


def test_scores_of_a_whole_set_stand_beside_those_of_masks(tmp_path: Path) -> None:
    """They come back, and are of neither thin nor solid objects."""
    whole = [("r", *row, "a", WHOLE_SET, 0, "box", "ap", 0.3, np.nan, WHOLE_SET) for row in ROWS]
    table = make_table([*lines_of("a/0", 0, {row: (0.5, 0.25) for row in ROWS}), *whole])
    write_table(tmp_path / "scores.csv", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "scores.csv"), table)
    means = summarise(table)
    assert set(means[means["metric"] == "ap"]["group_of_objects"]) == {"all"}
    assert set(means[means["metric"] == "iou"]["group_of_objects"]) == {"all", "solid"}


def test_scores_of_a_whole_set_leave_the_intervals_of_masks_as_they_are() -> None:
    of_masks = with_gains({("a/0", 0): 0.1, ("a/1", 0): 0.3, ("a/2", 0): 0.2})
    whole = make_table([("r", *row, "a", WHOLE_SET, 0, "box", "ap", 0.3, np.nan, WHOLE_SET) for row in ROWS])
    found = differences(pd.concat([of_masks, whole], ignore_index=True))
    is_whole = found["metric"] == "ap"
    pd.testing.assert_frame_equal(found[~is_whole].reset_index(drop=True), differences(of_masks))
    assert found[is_whole][["mean", "units"]].to_numpy().tolist() == [[0, 1]]
    assert found[is_whole]["low"].isna().all()


def test_only_a_whole_set_has_no_thinness(tmp_path: Path) -> None:
    table = make_table(lines_of("a/0", 0, {row: (0.5, 0.25) for row in ROWS}, thinness=np.nan))
    write_table(tmp_path / "scores.csv", table)
    with pytest.raises(DataError, match=r"line 2: expected a thinness, except of a whole set \(\*\)"):
        read_table(tmp_path / "scores.csv")
