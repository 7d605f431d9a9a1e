"""Tables hold every score once, means are over sets, and missing numbers never become NaN."""

import errno
import html
import io
import json
import os
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from hqsam_lightning.errors import DataError, StorageError
from hqsam_lightning.evaluation.scores import BestScores, MaskScores
from hqsam_lightning.reporting.results import (
    METRICS_KIND,
    METRICS_VERSION,
    best_entry,
    print_results,
    result_rows,
    write_results,
)
from hqsam_lightning.reporting.score_file import read_scores
from hqsam_lightning.storage.files import file_sha256, read_document

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
    config = {"seed": 42, "name": "x"}
    assert written == {"run": {"seed": 42}, "rows": rows, "best": None, "config": config, "files": files}
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


NAMES = ("[red]hq[/red]", "a|b", "[/]", "cost_$5_$10", "**x** <b>&amp;", "two\nlines", "![x](y.png)")


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_as_they_are(tmp_path: Path, name: str) -> None:
    masks = [MaskScores(name, f"{name}/0", 0, 0.1, {SAM: (0.5, 0.5), (name, "hq"): (0.75, 0.75)})]
    rows = result_rows(masks, {"sam": 0, name: 7})
    write_results(tmp_path, rows, masks, {"data": name}, {}, None)
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render((tmp_path / "results.md").read_text())
    shown = name.replace("\n", " ")
    assert f"<td>{html.escape(shown, quote=False)}</td>" in page
    assert page.count("<img") == page.count("<b>") == page.count("<strong>") == 0
    assert read_scores(tmp_path / "scores.csv") == masks
    console = Console(file=io.StringIO(), width=300)
    print_results(rows, console)
    assert f"│ {shown} " in console.file.getvalue()


def test_results_that_do_not_fit_on_the_disk_leave_no_mark_of_a_finished_run(tmp_path: Path, monkeypatch) -> None:
    rows = result_rows(MASKS, PARAMETERS)
    for failing in ("scores.csv", "results.md", "metrics.json"):
        folder = tmp_path / failing
        replace = os.replace

        def full(source, target, failing=failing, replace=replace):
            if Path(target).name == failing:
                raise OSError(errno.ENOSPC, "No space left on device")
            replace(source, target)

        with monkeypatch.context() as patched:
            patched.setattr("hqsam_lightning.storage.files.os.replace", full)
            with pytest.raises(StorageError, match=rf"{failing}: cannot be written .*No space left.*command again"):
                write_results(folder, rows, MASKS, {}, {}, None)
        assert not (folder / "metrics.json").exists()
        assert not list(folder.glob(".*"))
        write_results(folder, rows, MASKS, {}, {}, None)
        assert {path.name for path in folder.iterdir()} == {"scores.csv", "results.md", "metrics.json"}


def test_both_tables_are_given_where_the_best_weights_are_not_the_last(tmp_path: Path) -> None:
    worse = [mask("coift/0", 0, 0.9, 0.25, 0.3)]
    best = best_entry(BestScores(1, 20, "val/mbiou", 0.375, MASKS[:1]), PARAMETERS)
    write_results(tmp_path, result_rows(worse, PARAMETERS), worse, {"steps": 60}, {}, None, best)
    text = (tmp_path / "results.md").read_text()
    last, after = text.split("# Best checkpoint")
    assert "30.0 / 15.0" in last
    assert "75.0 / 37.5" not in last
    assert "75.0 / 37.5" in after
    assert "of epoch 2, step 20: val/mbiou 0.3750. The last weights are of step 60." in after
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert (written["best"]["step"], written["best"]["rows"][1]["mean"]["miou"]) == (20, 0.75)
    assert written["rows"][1]["mean"]["miou"] == 0.3


def test_one_table_is_enough_where_the_best_weights_are_the_last(tmp_path: Path) -> None:
    best = best_entry(BestScores(2, 60, "val/mbiou", 0.375, MASKS), PARAMETERS)
    write_results(tmp_path, result_rows(MASKS, PARAMETERS), MASKS, {"steps": 60}, {}, None, best)
    text = (tmp_path / "results.md").read_text()
    assert text.count("## All sets") == 1
    assert "These are the last weights." in text
