"""Tables hold every score once, means are over sets, and missing numbers never become NaN."""

import errno
import html
import io
import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from example_runs import CONFIG, FACTS, METRICS
from hqsam_lightning.errors import DataError, StorageError
from hqsam_lightning.evaluation.table import COLUMNS, as_records, differences, read_table, summarise
from hqsam_lightning.reporting.metric_facts import MetricFacts
from hqsam_lightning.reporting.results import (
    METRICS_KIND,
    METRICS_VERSION,
    Results,
    print_results,
    write_results,
    write_tables,
)
from hqsam_lightning.storage.files import file_sha256, read_document
from hqsam_lightning.training.callbacks.best_checkpoint import BestWeights

SAM, HQ = ("sam", "sam"), ("hq", "hq")


def lines(name: str, number: int, thinness: float, **values: float) -> list[tuple]:
    """Lines of one mask: IoU by variant; the boundary IoU is half of it."""
    dataset = name.split("/")[0]
    return [
        ("run", variant, variant, dataset, name, number, "box", metric, value, thinness, name)
        for variant, iou in values.items()
        for metric, value in (("iou", iou), ("boundary_iou", iou / 2))
    ]


def table_of(*masks: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame([line for mask in masks for line in mask], columns=[*COLUMNS])


FIRST = lines("coift/0", 0, 0.9, sam=0.25, hq=0.75)
TABLE = table_of(
    FIRST,
    lines("coift/0", 1, 0.0, sam=0.75, hq=0.75),
    lines("coift/1", 0, 0.1, sam=0.5, hq=0.75),
    lines("dis_vd/0", 0, 0.0, sam=0.25, hq=0.5),
)


def results_of(table: pd.DataFrame, facts: dict | None = None, best: dict | None = None) -> Results:
    return Results(table, METRICS, FACTS | (facts or {}), CONFIG, best or {})


def printed(results: Results, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_results(results, console)
    return console.file.getvalue()


def test_files_and_terminal_show_the_same_cells(tmp_path: Path) -> None:
    results = results_of(TABLE)
    write_results(tmp_path, results)
    write_tables(tmp_path, results, "results.png")
    text = (tmp_path / "results.md").read_text()
    assert "mIoU / mBIoU in percent, means over masks." in text
    assert "| method | logits | trainable parameters | coift | dis_vd | mean |" in text
    assert "| hq | HQ | 1,333,248 | 75.0 / 37.5 | 50.0 / 25.0 | 62.5 / 31.2 |" in text
    assert "| sam | SAM | 0 | 50.0 / 25.0 | 25.0 / 12.5 | 37.5 / 18.8 |" in text
    assert "| method | logits | trainable parameters | all (3) | thin (1) | solid (2) |" in text
    # the two masks of an image first: (0.5 + 0) / 2, then (0.25 + 0.25) / 2
    assert "| hq | HQ | +25.0 [25.0, 25.0] / +12.5 [12.5, 12.5] | +50.0 / +25.0 | +12.5 [0.0, 25.0] / " in text
    assert "](results.png)" in text
    assert "- seed: 1" in text
    both = printed(results, 160)
    assert all(cell in both for cell in ("75.0 / 37.5", "62.5 / 31.2", "1,333,248", "+25.0 [25.0, 25.0]"))


def test_metrics_hold_what_the_table_says(tmp_path: Path) -> None:
    write_results(tmp_path, results_of(TABLE))
    written = read_document(tmp_path / "metrics.json", METRICS_KIND, METRICS_VERSION, DataError, "")
    assert written == {
        "run": FACTS,
        "metrics": {
            "iou": {"label": "mIoU", "percent": True, "greater_is_better": True},
            "boundary_iou": {"label": "mBIoU", "percent": True, "greater_is_better": True},
        },
        "scores": as_records(summarise(TABLE)),
        "differences": as_records(differences(TABLE)),
        "best": {},
        "config": CONFIG,
        "files": {"scores.csv": file_sha256(tmp_path / "scores.csv")},
    }
    pd.testing.assert_frame_equal(read_table(tmp_path / "scores.csv"), TABLE, check_exact=True, check_dtype=False)


def test_any_number_of_metrics_is_shown(tmp_path: Path) -> None:
    """One of one's own stands beside the others by its label; what is no share is no percentage."""
    own = TABLE[TABLE["metric"] == "iou"].assign(metric="depth", value=lambda table: 10 * table["value"])
    metrics = {**METRICS, "depth": MetricFacts("px", percent=False)}
    results = Results(pd.concat([TABLE, own], ignore_index=True), metrics, FACTS, CONFIG)
    write_results(tmp_path, results)
    text = (tmp_path / "results.md").read_text()
    assert "mIoU % / mBIoU % / px, means over masks." in text
    assert "Difference to plain SAM, mIoU / mBIoU / px:" in text
    for cell in ("75.0 / 37.5 / 7.500", "+50.0 / +25.0 / +5.000"):
        assert cell in text
        assert cell in printed(results, 200) or "thin" in cell or cell.startswith("+")


def test_each_kind_of_prompts_is_a_table(tmp_path: Path) -> None:
    points = table_of(FIRST).assign(prompts="point", value=lambda table: table["value"] / 2)
    write_results(tmp_path, results_of(pd.concat([table_of(FIRST), points], ignore_index=True)))
    text = (tmp_path / "results.md").read_text()
    assert "| method | logits | trainable parameters | coift | coift, point |" in text
    assert "| hq | HQ | 1,333,248 | 75.0 / 37.5 | 37.5 / 18.8 |" in text
    assert "1 images, 1 masks: 1 thin, 0 solid; prompts: point." in text


def test_the_filled_box_is_a_row(tmp_path: Path) -> None:
    box = lines("coift/0", 0, 0.9, box=0.5)
    results = results_of(table_of(FIRST, box))
    write_results(tmp_path, results)
    text = (tmp_path / "results.md").read_text()
    assert "| box | filled box | - | 50.0 / 25.0 | 50.0 / 25.0 | - |" in text
    assert "| box | filled box | +25.0 / +12.5 | +25.0 / +12.5 | - |" in text
    assert "filled box" in printed(results, 160)


def test_the_tables_fit_a_terminal_of_80_columns() -> None:
    shown = printed(results_of(TABLE[TABLE["dataset"] == "coift"]), 80)
    assert "│ hq     │ HQ     │" in shown
    assert "│ +25.0 [25.0, 25.0] / +12.5 [12.5, 12.5] │" in shown
    assert "…" not in shown
    assert "│ thin" not in shown, "differences of the groups are in results.md alone"


def test_a_set_without_thin_objects_shows_a_dash(tmp_path: Path) -> None:
    write_results(tmp_path, results_of(TABLE))
    text = (tmp_path / "results.md").read_text()
    assert "| all (1) | thin (0) | solid (1) |" in text
    assert "| hq | HQ | 1,333,248 | 50.0 / 25.0 | - | 50.0 / 25.0 |" in text
    assert not re.search(r"\bnan\b", text + (tmp_path / "metrics.json").read_text(), re.IGNORECASE)


def test_nan_is_refused(tmp_path: Path) -> None:
    table = TABLE.assign(value=TABLE["value"].where(TABLE.index != 3, float("nan")))
    with pytest.raises(ValueError, match="expected finite scores, got NaN"):
        write_results(tmp_path, results_of(table))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_results(tmp_path, results_of(TABLE, {"fit_seconds": float("inf")}))
    assert not list(tmp_path.iterdir())


def test_a_run_without_validation_has_an_empty_table(tmp_path: Path) -> None:
    write_results(tmp_path, results_of(table_of()))
    assert json.loads((tmp_path / "metrics.json").read_text())["scores"] == []
    assert "Nothing was scored." in (tmp_path / "results.md").read_text()
    assert printed(results_of(table_of()), 80) == ""


NAMES = ("[red]hq[/red]", "a|b", "[/]", "cost_$5_$10", "**x** <b>&amp;", "two\nlines", "![x](y.png)")


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_as_they_are(tmp_path: Path, name: str) -> None:
    table = table_of(FIRST).replace({"hq": name, "coift": name})
    table.loc[table["variant"] == name, "output"] = "hq"
    facts = {"data": name, "trainable_parameters": {"sam": 0, name: 7}}
    results = Results(table, METRICS | {"iou": MetricFacts(name)}, FACTS | facts, CONFIG)
    write_results(tmp_path, results)
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render((tmp_path / "results.md").read_text())
    shown = name.replace("\n", " ")
    assert f"<td>{html.escape(shown, quote=False)}</td>" in page
    assert page.count("<img") == page.count("<b>") == page.count("<strong>") == 0
    pd.testing.assert_frame_equal(read_table(tmp_path / "scores.csv"), table, check_dtype=False)
    assert f"│ {shown} " in printed(results, 300)


def test_results_that_do_not_fit_on_the_disk_leave_no_mark_of_a_finished_run(tmp_path: Path, monkeypatch) -> None:
    results = results_of(TABLE)
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
                write_results(folder, results)
        assert not (folder / "metrics.json").exists()
        assert not list(folder.glob(".*"))
        write_results(folder, results)
        assert {path.name for path in folder.iterdir()} == {"scores.csv", "results.md", "metrics.json"}


def test_best_and_last_weights_stand_in_one_table(tmp_path: Path) -> None:
    last = table_of(lines("coift/0", 0, 0.9, sam=0.25, hq=0.3))
    best = {"hq": BestWeights(1, 20, "boundary_iou", 0.375, table_of(FIRST))}
    results = results_of(last, {"steps": 60}, best)
    write_results(tmp_path, results)
    text = (tmp_path / "results.md").read_text()
    for row in ("- | sam | SAM | 0 | 25.0", "last weights | hq | HQ | 1,333,248 | 30.0", "best weights | hq | HQ |"):
        assert f"| {row}" in text
    assert "best weights | hq | HQ | 1,333,248 | 75.0 / 37.5 |" in text
    assert "of epoch 2, step 20: boundary_iou 0.3750. The last weights are of step 60." in text.replace("\\_", "_")
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["best"]["hq"]["step"] == 20
    assert written["best"]["hq"]["scores"] == as_records(summarise(table_of(FIRST)))
    assert written["scores"] == as_records(summarise(last))
    assert "best weights" in printed(results, 200)


def test_each_variant_has_its_own_best_weights(tmp_path: Path) -> None:
    """The row of a variant is that of its own checkpoint, and one that is the last is shown once."""
    by_step = {}
    for step in (20, 60):
        scores = table_of(lines("coift/0", 0, 0.9, sam=0.25, hq=0.3 + step / 100, lora=0.9 - step / 100))
        by_step[step] = scores.replace({"output": {"lora": "hq"}})
    best = {
        "hq": BestWeights(2, 60, "boundary_iou", 0.45, by_step[60]),
        "lora": BestWeights(1, 20, "boundary_iou", 0.35, by_step[20]),
    }
    results = results_of(by_step[60], {"steps": 60}, best)
    write_results(tmp_path, results)
    (section, _) = (tmp_path / "results.md").read_text().split("Difference to plain SAM, ")
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith(("| last", "| best"))]
    assert [(row[0].strip("| "), row[1], row[4]) for row in rows] == [
        ("last weights", "hq", "90.0 / 45.0"),
        ("last weights", "lora", "30.0 / 15.0"),
        ("best weights", "lora", "70.0 / 35.0"),
    ]


def test_one_table_is_enough_where_the_best_weights_are_the_last(tmp_path: Path) -> None:
    best = {"hq": BestWeights(2, 60, "boundary_iou", 0.375, TABLE)}
    write_results(tmp_path, results_of(TABLE, {"steps": 60}, best))
    text = (tmp_path / "results.md").read_text()
    assert "best weights" not in text
    assert "These are the last weights." in text
