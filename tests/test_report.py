"""The report command: what it writes, where it stops."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from conftest import ROOT
from example_runs import make_table, write_run
from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import ConfigError, StorageError
from hqsam_lightning.report import report
from launched import run_command
from patience import PATIENCE


def make_report_config(*overrides: str) -> DictConfig:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("report", overrides=list(overrides))


def make_runs(folder: Path, seeds: int = 2) -> list[Path]:
    runs = []
    for seed in range(seeds):
        table = pd.concat([make_table(seed), make_table(seed, "ecssd", images=4)], ignore_index=True)
        runs.append(write_run(folder / f"seed{seed}", table, {"seed": seed}))
    return runs


def test_seeds_become_one_report(tmp_path: Path) -> None:
    runs = make_runs(tmp_path)
    summary = report(make_report_config(f"runs=[{runs[0]},{runs[1]}]", f"out={tmp_path / 'out'}"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "recall.png",
        "report.csv",
        "report.html",
        "report.md",
    ]
    text = (tmp_path / "out" / "report.md").read_text()
    for heading in ("## All sets", "## scenes", "## ecssd", "## Recall", "## Runs"):
        assert f"\n{heading}\n" in text
    assert "6 images, 12 masks: 6 thin, 6 solid; prompts: box." in text
    assert f"- folder: {runs[0]}; {runs[1]}" in text
    assert "- seed: 0; 1" in text
    assert f"weights SHA-256 {'ab' * 32}" in text
    assert text.count("\n- date: 2026-11-23\n") == 1, "what the runs share is said once"
    entry = summary.get("quickstart", ("hq", "hq"), ("scenes", "box"), "thin", "iou", "difference")
    assert f"{100 * entry.mean:+.1f} [{100 * entry.low:.1f}, {100 * entry.high:.1f}]" in text
    assert (tmp_path / "out" / "recall.png").read_bytes().startswith(b"\x89PNG")


def test_the_csv_holds_every_number(tmp_path: Path) -> None:
    runs = make_runs(tmp_path)
    summary = report(make_report_config(f"runs=[{runs[0]},{runs[1]}]", f"out={tmp_path / 'out'}"))
    with (tmp_path / "out" / "report.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(summary.numbers)
    rows, sets, groups = 3, 2, 3
    # mIoU, mBIoU and 9 recalls a group; two differences for the two learned rows; two means of sets a row
    assert len(lines) == rows * sets * groups * (2 + 9) + 2 * sets * groups * 2 + rows * 2
    for line, (_, number) in zip(lines, summary.numbers.iterrows(), strict=True):
        assert float(line["mean"]) == number["mean"]
        assert (line["quantity"], line["metric"]) == (number["quantity"], number["metric"])
        assert (line["low"] == "") == (line["quantity"] != "difference")
    assert "nan" not in (tmp_path / "out" / "report.csv").read_text().lower()


def test_every_metric_and_kind_of_prompts_is_in_every_file(tmp_path: Path) -> None:
    """Also one of one's own; `plot_metric` picks what recall is of."""
    metrics = ("iou", "boundary_iou", "own_metric")
    kinds = [make_table(1, prompts=name, metrics=metrics) for name in ("box", "point")]
    run = write_run(tmp_path / "run", pd.concat(kinds, ignore_index=True))
    out = tmp_path / "out"
    summary = report(make_report_config(f"runs=[{run}]", f"out={out}", "plot_metric=own_metric"))
    numbers = [summary.get("quickstart", ("hq", "hq"), ("scenes", "point"), "all", name) for name in metrics]
    cell = " / ".join(f"{100 * number.mean:.1f}" for number in numbers)
    for name in ("report.md", "report.html"):
        text = (out / name).read_text()
        assert "mIoU / mBIoU / own_metric in percent" in text
        assert cell in text
        assert "scenes, point" in text
        assert "Share of masks whose own_metric is above a threshold" in text
    assert {"own_metric", "iou", "boundary_iou"} == set(pd.read_csv(out / "report.csv")["metric"])
    with pytest.raises(
        ConfigError, match="plot_metric: expected one of iou, boundary_iou, own_metric, null; got 'miou'"
    ):
        report(make_report_config(f"runs=[{run}]", f"out={out}", "plot_metric=miou"))


def test_a_report_stands_beside_the_papers_table(tmp_path: Path) -> None:
    (run,) = make_runs(tmp_path, seeds=1)
    table = ROOT / "experiments" / "table3_hq_features" / "table.yaml"
    report(make_report_config(f"runs=[{run}]", f"out={tmp_path / 'out'}", f"table={table}"))
    text = (tmp_path / "out" / "report.md").read_text()
    assert "## Beside the paper" in text
    assert "| decoder_final_early | 89.1 / 81.8 | missing |" in text


def test_a_set_without_thin_objects_shows_a_dash(tmp_path: Path) -> None:
    table = make_table(0)
    run = write_run(tmp_path / "run", table[table["mask"] == 0])
    report(make_report_config(f"runs=[{run}]", f"out={tmp_path / 'out'}"))
    text = (tmp_path / "out" / "report.md").read_text()
    assert "6 images, 6 masks: 0 thin, 6 solid; prompts: box." in text
    assert "| all (6) | thin (0) | solid (6) |" in text
    (line, *_) = [line for line in text.splitlines() if line.startswith("| hq | HQ |")]
    assert line.split(" | ")[4] == "-"


def test_fewer_misses_are_a_share_of_sams(tmp_path: Path) -> None:
    """SAM misses a boundary IoU of 0.5 on three masks of four, HQ-SAM on one: two thirds fewer."""
    table = make_table(0, images=2, rows=(("sam", "sam"), ("hq", "hq")))
    of_boundary = table["metric"] == "boundary_iou"
    table.loc[of_boundary & (table["variant"] == "sam"), "value"] = [0.6, 0.4, 0.4, 0.4]
    table.loc[of_boundary & (table["variant"] == "hq"), "value"] = [0.7, 0.3, 0.7, 0.7]
    run = write_run(tmp_path / "run", table)
    report(make_report_config(f"runs=[{run}]", f"out={tmp_path / 'out'}"))
    text = (tmp_path / "out" / "report.md").read_text().split("## Recall")[1]
    assert "| sam | SAM | 25.0 | 25.0 |" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| hq | HQ | 75.0 |")]
    assert line.endswith("| 66.7 |")


def test_a_report_may_be_made_again(tmp_path: Path) -> None:
    runs = make_runs(tmp_path)
    files = []
    for _ in range(2):
        report(make_report_config(f"runs=[{runs[0]},{runs[1]}]", f"out={tmp_path / 'out'}"))
        files.append({path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()})
    assert files[0] == files[1]


def test_a_full_disk_leaves_the_earlier_report_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever writing stops, the folder holds one report, and the same command works again."""
    runs, out = make_runs(tmp_path), tmp_path / "out"
    report(make_report_config(f"runs=[{runs[0]}]", f"out={out}"))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    config = make_report_config(f"runs=[{runs[0]},{runs[1]}]", f"out={out}")
    real, left = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        real(descriptor)

    for files in range(0, 8, 2):  # a file and its folder
        left = files
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(StorageError, match=r"No space left on device.*make room"):
                report(config)
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    report(config)
    after = {path.name: path.read_bytes() for path in out.iterdir()}
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in before)


def test_plots_that_fail_cost_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (run,) = make_runs(tmp_path, seeds=1)

    def fail(summary: object) -> None:
        raise MemoryError("no room to draw")

    config = make_report_config(f"runs=[{run}]", f"out={tmp_path / 'out'}")
    report(config)
    monkeypatch.setattr("hqsam_lightning.reporting.report_files.draw_recall", fail)
    report(config)
    assert "recall.png, a plot of the report, failed (MemoryError: no room to draw)" in caplog.text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.md", "report.html", "report.csv"}
    text = (tmp_path / "out" / "report.md").read_text()
    assert "![" not in text, "a picture that is not there is not shown"
    assert "| hq | HQ |" in text


def test_a_linked_picture_of_a_run_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (run,) = make_runs(tmp_path, seeds=1)
    (tmp_path / "secret").write_text("secret")
    (run / "results.png").symlink_to(tmp_path / "secret")
    report(make_report_config(f"runs=[{run}]", f"out={tmp_path / 'out'}"))
    assert "results.png: expected a picture (PNG), left out of the report: it is a link" in caplog.text
    assert "<h2>Panels" not in (tmp_path / "out" / "report.html").read_text()


def test_points_of_plain_sam_alone_have_no_sweep(tmp_path: Path) -> None:
    rows = (("sam", "sam"),)
    for number in range(3):
        config = {"optimizer": {"lr": number}}
        write_run(tmp_path / "runs" / str(number), make_table(1, rows=rows), config=config)
    runs = ",".join(str(tmp_path / "runs" / str(number)) for number in range(3))
    report(make_report_config(f"runs=[{runs}]", f"out={tmp_path / 'out'}"))
    assert not (tmp_path / "out" / "sweep.png").exists()


def test_no_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"runs: expected a path .* or a list .*not empty; got \[\]"):
        report(make_report_config(f"out={tmp_path / 'out'}"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("runs=3", "runs: expected a path .* or a list .*; got 3"),
        ("runs=null", "runs: expected a path .* or a list .*; got None"),
        ("runs=[null]", r"runs: expected a path .* or a list .*; got \[None\]"),
        ("runs=[1.5]", r"runs: expected a path .* or a list .*; got \[1.5\]"),
        ("runs=''", "runs: expected a path .* or a list .*; got ''"),
        ("out=3", "out: expected a path .*; got 3"),
        ("out=null", "out: expected a path .*; got None"),
        ("table=[a]", r"table: expected a path .*; got \['a'\]"),
    ],
)
def test_odd_values_are_named(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        report(make_report_config(f"runs=[{tmp_path}]", f"out={tmp_path / 'out'}", override))


def test_one_run_needs_no_brackets_and_may_be_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "7", make_table(1))
    monkeypatch.chdir(tmp_path)
    for number, runs in enumerate((f"runs={tmp_path / '7'}", "runs=[7]")):
        assert len(report(make_report_config(runs, f"out=out{number}")).numbers)


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "run", make_table(1))
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=rf"{name}.* cannot be written"):
        report(make_report_config(f"runs=[{run}]", f"out={tmp_path / name}"))


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "hqsam_lightning.report", *arguments],
        cwd=folder,
        env=dict(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_the_command_writes_the_report_and_nothing_else(tmp_path: Path) -> None:
    make_runs(tmp_path)
    result = command(tmp_path, "runs=[seed0, seed1]", "out=out")
    assert result.returncode == 0, result.stderr
    assert "report in out" in result.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"seed0", "seed1", "out"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.md",
        "report.html",
        "report.csv",
        "recall.png",
    }
    assert (
        "`python -m hqsam_lightning.report 'runs=[seed0, seed1]' out=out`"
        in (tmp_path / "out" / "report.md").read_text()
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["runs=[nowhere]"], "error: runs: expected metrics.json and scores.csv in nowhere; metrics.json is missing"),
        (["run=[a]"], "run: the config has no key 'run'; did you mean 'runs'?"),
    ],
)
def test_bad_input_is_named(tmp_path: Path, arguments: list[str], expected: str) -> None:
    result = run_command("hqsam_lightning.report", *arguments, "out=out", cwd=tmp_path)
    assert result.returncode == 1
    assert expected in result.stderr
    assert "Traceback" not in result.stderr
