"""scores.csv comes back digit for digit, and a damaged one is named with its line."""

from pathlib import Path

import pytest

from example_runs import make_masks
from hqsam_lightning.errors import DataError
from hqsam_lightning.reporting.score_file import read_scores, write_scores


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
        DataError, match=r"scores\.csv: expected the rows .*; mask 1 of scenes/0005 has \[\('sam', 'sam'\)"
    ):
        read_scores(path)


@pytest.mark.parametrize("damage", ["half a line", "no number"])
def test_a_damaged_line_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "scores.csv"
    write_scores(path, make_masks(0))
    lines = path.read_text().splitlines()
    lines[4] = lines[4][:20] if damage == "half a line" else lines[4].rsplit(",", 1)[0] + ",high"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"scores\.csv, line 5: expected"):
        read_scores(path)
