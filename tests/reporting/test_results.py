"""Tables hold every score once, means are over sets, and missing numbers never become NaN."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from hqsam_lightning.errors import DataError
from hqsam_lightning.files import file_sha256, read_document
from hqsam_lightning.reporting.results import (
    METRICS_KIND,
    METRICS_VERSION,
    print_results,
    result_rows,
    write_results,
)
from hqsam_lightning.reporting.score_file import read_scores
from hqsam_lightning.training.scores import MaskScores

SAM, HQ = ("sam", "sam"), ("hq", "hq")
PARAMETERS = {"sam": 0, "hq": 1_333_248}


def mask(name: str, number: int, thinness: float, sam: float, hq: float) -> MaskScores:
    """Boundary IoU is half of the IoU."""
    return MaskScores(name.split("/")[0], name, number, thinness, {SAM: (sam, sam / 2), HQ: (hq, hq / 2)})


MASKS = [
    mask("coift/0", 0, 0.9, 0.25, 0.75),
    mask("coift/0", 1, 0.0, 0.75, 0.75),
    mask("coift/1", 0, 0.1, 0.5, 0.75),
    mask("dis_vd/0", 0, 0.0, 0.25, 0.5),
]


def test_rows_mean_over_masks_and_then_over_sets() -> None:
    sam, hq = result_rows(MASKS, PARAMETERS)
    assert (sam["variant"], sam["trainable_parameters"]) == ("sam", 0)
    assert sam["mean"] == {"miou": 0.375, "mbiou": 0.1875}
    assert sam["sets"]["coift"] == {"miou": 0.5, "mbiou": 0.25, "masks": 3}
    assert sam["thin"] == {"coift": {"miou": 0.25, "mbiou": 0.125, "masks": 1}}
    assert sam["solid"]["coift"] == {"miou": 0.625, "mbiou": 0.3125, "masks": 2}
    assert hq["trainable_parameters"] == 1_333_248
    assert "differences" not in sam, "plain SAM is what the others are compared with"


def test_rows_hold_their_difference_to_sam_over_images() -> None:
    _, hq = result_rows(MASKS, PARAMETERS)
    everywhere = hq["differences"]["all"]["coift"]
    assert everywhere["images"] == 2
    assert everywhere["miou"]["mean"] == 0.25, "the two masks of an image first: (0.5 + 0) / 2, then (0.25 + 0.25) / 2"
    assert everywhere["mbiou"]["mean"] == 0.125
    assert hq["differences"]["thin"]["coift"]["miou"] == {"mean": 0.5, "low": None, "high": None}
    assert set(hq["differences"]["thin"]) == {"coift"}


def test_files_and_terminal_show_the_same_cells(tmp_path: Path) -> None:
    rows = result_rows(MASKS, PARAMETERS)
    write_results(tmp_path, rows, MASKS, {"seed": 42}, {"seed": 42, "name": "x"}, "results.png")
    text = (tmp_path / "results.md").read_text()
    assert "| hq | HQ | 1,333,248 | 75.0 / 37.5 | 50.0 / 25.0 | 62.5 / 31.2 |" in text
    assert "| method | logits | trainable parameters | all (3) | thin (1) | solid (2) |" in text
    assert "| hq | HQ | all | 2 | +25.0 [25.0, 25.0] | +12.5 [12.5, 12.5] |" in text
    assert "| hq | HQ | thin | 1 | +50.0 | +25.0 |" in text
    assert "](results.png)" in text
    assert "- seed: 42" in text
    written = read_document(tmp_path / "metrics.json", METRICS_KIND, METRICS_VERSION, DataError, "")
    files = {"scores.csv": file_sha256(tmp_path / "scores.csv")}
    assert written == {"run": {"seed": 42}, "rows": rows, "config": {"seed": 42, "name": "x"}, "files": files}
    assert read_scores(tmp_path / "scores.csv") == MASKS
    console = Console(file=io.StringIO(), width=160)
    print_results(rows, console)
    printed = console.file.getvalue()
    assert all(cell in printed for cell in ("75.0 / 37.5", "62.5 / 31.2", "1,333,248", "+25.0 [25.0, 25.0]"))


def test_the_tables_fit_a_terminal_of_80_columns() -> None:
    console = Console(file=io.StringIO(), width=80)
    print_results(result_rows(MASKS[:3], PARAMETERS), console)
    printed = console.file.getvalue()
    assert all(cell in printed for cell in ("│ hq     │ HQ     │", "75.0 / 37.5", "+25.0 [25.0, 25.0]"))
    assert "…" not in printed
    assert "│ thin" not in printed, "differences of the groups are in results.md alone"


def test_a_set_without_thin_objects_shows_a_dash(tmp_path: Path) -> None:
    rows = result_rows(MASKS, PARAMETERS)
    write_results(tmp_path, rows, MASKS, {}, {}, None)
    text = (tmp_path / "results.md").read_text()
    assert "| all (1) | thin (0) | solid (1) |" in text
    assert "| hq | HQ | 1,333,248 | 50.0 / 25.0 | - | 50.0 / 25.0 |" in text
    assert "nan" not in (text + (tmp_path / "metrics.json").read_text()).lower()


def test_nan_is_refused(tmp_path: Path) -> None:
    masks = [MaskScores("coift", "coift/0", 0, 0.0, {SAM: (float("nan"), 0.0)})]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_results(tmp_path, result_rows(masks, {"sam": 0}), masks, {}, {}, None)
    assert not list(tmp_path.iterdir())


def test_a_run_without_validation_has_an_empty_table(tmp_path: Path) -> None:
    write_results(tmp_path, result_rows([], {}), [], {"seed": 1}, {}, None)
    assert json.loads((tmp_path / "metrics.json").read_text())["rows"] == []
