"""scores.csv comes back digit for digit, and a damaged one is named with its line."""

import dataclasses
from pathlib import Path

import pytest

from example_runs import make_masks
from hqsam_lightning.errors import DataError
from hqsam_lightning.reporting.score_file import COLUMNS, read_scores, write_scores


def test_what_was_written_is_read(tmp_path: Path) -> None:
    masks = make_masks(0) + make_masks(0, "ecssd, small")
    write_scores(tmp_path / "scores.csv", masks)
    assert read_scores(tmp_path / "scores.csv") == masks
    head, first, *_ = (tmp_path / "scores.csv").read_text().splitlines()
    assert head == "dataset,sample_id,mask,thin,thinness,variant,output,iou,biou"
    assert first.startswith("scenes,scenes/0000,0,0,")


def test_other_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("dataset,iou\na,0.5\n")
    with pytest.raises(
        DataError, match=r"scores\.csv: expected the columns dataset,sample_id.*got \['dataset', 'iou'\]"
    ):
        read_scores(tmp_path / "scores.csv")


def test_a_mask_that_lacks_a_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    write_scores(path, make_masks(0))
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(
        DataError, match=r"scores\.csv: expected the rows .*; mask 1 of 'scenes/0005' has \[\('sam', 'sam'\)"
    ):
        read_scores(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,b,0,0,0.5,sam,sam,nan,0.5", "iou: expected a number in"),
        ("a,b,0,0,0.5,sam,sam,0.5,1.5", "biou: expected a number in"),
        ("a,b,0,0,inf,sam,sam,0.5,0.5", "thinness: expected a number in"),
        ("a,b,-1,0,0.5,sam,sam,0.5,0.5", "mask: expected an index"),
        ("a,b,1.0,0,0.5,sam,sam,0.5,0.5", "mask: expected an index"),
        ("a,b,0,yes,0.5,sam,sam,0.5,0.5", "thin: expected 0 or 1"),
        ("a,b,0,0,0.5,sam,logits,0.5,0.5", "an output of sam, hq, sum"),
        ("a,b,0,0,0.5,,hq,0.5,0.5", "expected a variant"),
        (",b,0,0,0.5,sam,sam,0.5,0.5", "expected a dataset"),
        ("a,b,0,0,0.5,sam,sam,0.5,0.5,9", "expected 9 values"),
        ("a,x,0,0,0.5,sam,sam,0.5,0.5", "this mask has the row already"),
        ("a,x,0,0,0.6,hq,hq,0.5,0.5", "expected one thinness per mask, 0.5 before"),
    ],
)
def test_an_odd_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(f"{','.join(COLUMNS)}\na,x,0,0,0.5,sam,sam,0.5,0.5\n{line}\n")
    with pytest.raises(DataError, match=rf"scores\.csv, line 3: expected .*{message}"):
        read_scores(path)


@pytest.mark.parametrize("content", [b"\x00", b"a" * 200_000, b'"', b"", b"\xff\xfe"])
def test_bytes_that_are_no_table_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scores.csv"
    path.write_bytes(",".join(COLUMNS).encode() + b"\n" + content if content == b'"' else content)
    with pytest.raises(DataError, match=r"scores\.csv: expected"):
        read_scores(path)


def test_scores_without_plain_sam_are_refused(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.csv", make_masks(0, rows=(("hq", "hq"), ("hq", "sum"))))
    with pytest.raises(DataError, match=r"plain SAM's \('sam', 'sam'\) among them"):
        read_scores(tmp_path / "scores.csv")


def test_names_of_other_encodings_come_back(tmp_path: Path) -> None:
    masks = [dataclasses.replace(mask, sample_id="caf\udce9, \n1") for mask in make_masks(0)[:1]]
    write_scores(tmp_path / "scores.csv", masks)
    assert read_scores(tmp_path / "scores.csv") == masks


@pytest.mark.parametrize("damage", ["half a line", "no number"])
def test_a_damaged_line_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "scores.csv"
    write_scores(path, make_masks(0))
    lines = path.read_text().splitlines()
    lines[4] = lines[4][:20] if damage == "half a line" else lines[4].rsplit(",", 1)[0] + ",high"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"scores\.csv, line 5: expected"):
        read_scores(path)
