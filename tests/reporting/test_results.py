"""Tables hold every score once, means are over sets, and missing numbers never become NaN."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from hqsam_lightning.reporting.results import print_results, result_rows, write_results
from hqsam_lightning.training.scores import Score

SCORES = [
    Score("coift", "sam", "sam", 0.5, 0.25, 10),
    Score("coift", "hq", "hq", 0.75, 0.5, 10),
    Score("dis_vd", "sam", "sam", 0.25, 0.125, 30),
    Score("dis_vd", "hq", "hq", 0.5, 0.25, 30),
]


def test_rows_mean_over_sets_not_over_masks() -> None:
    sam, hq = result_rows(SCORES, {"sam": 0, "hq": 1_333_248})
    assert (sam["variant"], sam["trainable_parameters"]) == ("sam", 0)
    assert sam["mean"] == {"miou": 0.375, "mbiou": 0.1875}
    assert hq["sets"]["dis_vd"] == {"miou": 0.5, "mbiou": 0.25, "masks": 30}
    assert hq["trainable_parameters"] == 1_333_248


def test_files_and_terminal_show_the_same_cells(tmp_path: Path) -> None:
    rows = result_rows(SCORES, {"sam": 0, "hq": 1_333_248})
    write_results(tmp_path, rows, {"seed": 42}, "results.png")
    text = (tmp_path / "results.md").read_text()
    assert "| hq | HQ | 1,333,248 | 75.0 / 50.0 | 50.0 / 25.0 | 62.5 / 37.5 |" in text
    assert "](results.png)" in text
    assert "- seed: 42" in text
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"run": {"seed": 42}, "rows": rows}
    console = Console(file=io.StringIO(), width=160)
    print_results(rows, console)
    assert all(cell in console.file.getvalue() for cell in ("75.0 / 50.0", "62.5 / 37.5", "1,333,248"))


def test_nan_is_refused(tmp_path: Path) -> None:
    rows = result_rows([Score("coift", "sam", "sam", float("nan"), 0.0, 1)], {"sam": 0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_results(tmp_path, rows, {}, None)


def test_a_run_without_validation_has_an_empty_table(tmp_path: Path) -> None:
    write_results(tmp_path, [], {"seed": 1}, None)
    assert json.loads((tmp_path / "metrics.json").read_text())["rows"] == []
