"""Runs are read whole or refused: a report shows no number that was not scored."""

import csv
import io
import json
import math
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from example_runs import METRICS, make_table, write_run
from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.reporting.numbers import Summary
from hqsam_lightning.reporting.report_files import write_report
from hqsam_lightning.reporting.results import METRICS_KIND, METRICS_VERSION
from hqsam_lightning.reporting.run_folders import find_runs, read_run
from hqsam_lightning.reporting.runs import check_comparable, describe_set, group_runs
from hqsam_lightning.storage.files import file_sha256, write_document


def test_a_run_is_read_whole(tmp_path: Path) -> None:
    table = make_table(1)
    run = read_run(write_run(tmp_path / "run", table))
    pd.testing.assert_frame_equal(run.table, table, check_exact=True, check_dtype=False)
    assert run.metrics == METRICS
    assert run.facts["sam"] == "nano"
    assert describe_set(run.table) == "6 images, 12 masks: 6 thin, 6 solid"


@pytest.mark.parametrize("name", ["metrics.json", "scores.csv"])
def test_a_missing_file_is_named_with_its_folder(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "run", make_table(1))
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"runs: expected metrics.json and scores.csv in .*run; {name} is missing"):
        read_run(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected JSON, cannot read it"),
        ("[]", "expected a file of format hqsam_lightning/metrics, got 'list'"),
        (
            json.dumps({"run": {}, "scores": [], "config": {}}),
            "expected a file of format .*got None; run it again, or",
        ),
        (
            '{"format": "hqsam_lightning/metrics", "format_version": 1}',
            "expected format_version 2, got 1; run it again, or make the report with the version of hqsam_lightning",
        ),
    ],
)
def test_a_damaged_or_old_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    folder = write_run(tmp_path / "run", make_table(1))
    (folder / "metrics.json").write_text(content)
    with pytest.raises(DataError, match=rf"run/metrics\.json: .*{message}"):
        read_run(folder)


@pytest.mark.parametrize("depth", [100, 800, 900, 930, 960, 10_000])
def test_deep_nesting_is_no_crash(tmp_path: Path, depth: int) -> None:
    folder = write_run(tmp_path / "run", make_table(1))
    start = (folder / "metrics.json").read_text().rstrip().removesuffix("}")
    (folder / "metrics.json").write_text(f'{start}, "a": {"[" * depth}{"]" * depth}}}')
    with pytest.raises(DataError, match=r"run/metrics\.json: "):
        read_run(folder)


def reseal(folder: Path, change: Callable[[dict[str, Any]], object] = lambda body: None) -> None:
    """Changes a run's metrics as an odd program would have written them, with checksums that fit."""
    body = json.loads((folder / "metrics.json").read_text())
    body = {key: body[key] for key in ("run", "metrics", "config", "files")}
    body["files"]["scores.csv"] = file_sha256(folder / "scores.csv")
    change(body)
    write_document(folder / "metrics.json", METRICS_KIND, METRICS_VERSION, body)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        *((("run", "seed"), value) for value in (-1, 1.5, "1", True, None, 2**70)),
        *((("run", "name"), value) for value in ("", 3, None, ["a"])),
        *((("run", "sam_sha256"), value) for value in ("abc", "AB" * 32, 7)),
        *((("run", "output"), value) for value in ("sam", "", None)),
        *((("run", "date"), value) for value in ("yesterday", 20260101)),
        *((("run", "fit_seconds"), value) for value in (-1, "long", [1])),
        *((("run", "trainable_parameters"), value) for value in (5, {"hq": -1}, {"hq": 1.5}, {"hq": None})),
        *((("run", "inference"), value) for value in ({"hq": 3}, {"hq": {"images_per_second": "fast"}})),
        *((("run", "frames"), value) for value in ({"stretch": 3}, {"stretch": {"seconds_per_photo": "fast"}})),
        *((("config", "sam"), value) for value in ({}, {"precision": 3}, "nano")),
        *((("run",), value) for value in ([], None)),
        *(
            (("metrics",), value)
            for value in ([], "x", {"iou": {}}, {"iou": {"label": 3}}, {"iou": {"label": "a", "percent": True}})
        ),
        *((("metrics", "iou"), value) for value in (None, {"label": "a", "percent": 1, "greater_is_better": True})),
        *((("config", key), value) for key in ("val_prompts", "metrics", "evaluation") for value in (None, "a")),
        *((("files",), value) for value in ([], {"scores.csv": 3})),
    ],
)
def test_an_odd_value_is_named(tmp_path: Path, keys: tuple[str, ...], value: object) -> None:
    folder = write_run(tmp_path / "run", make_table(1))

    def change(body: dict[str, Any]) -> None:
        for key in keys[:-1]:
            body = body[key]
        body[keys[-1]] = value

    reseal(folder, change)
    with pytest.raises(DataError, match="scores.csv" if keys[0] == "files" and value else r"\.".join(keys)):
        read_run(folder)


def test_infinity_as_json_can_write_it(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", make_table(1))
    path = folder / "metrics.json"
    path.write_text(path.read_text().replace('"lr": 0.001', '"lr": 1e999'))
    with pytest.raises(DataError, match=r"metrics\.json"):
        read_run(folder)


@pytest.mark.parametrize("change", ["a digit", "another run's", "an image less"])
def test_scores_that_are_not_the_metrics_are_refused(tmp_path: Path, change: str) -> None:
    folder, other = (write_run(tmp_path / name, make_table(seed)) for seed, name in enumerate("ab"))
    path = folder / "scores.csv"
    text = path.read_text()
    changed = {
        "a digit": text.replace(",0.3", ",0.4", 1),
        "another run's": (other / "scores.csv").read_text(),
        "an image less": "".join(line for line in text.splitlines(True) if "scenes/0005" not in line),
    }
    assert changed[change] != text
    path.write_text(changed[change])
    with pytest.raises(DataError, match=r"scores\.csv: expected the file of SHA-256"):
        read_run(folder)


def test_a_metric_that_is_not_described_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", make_table(1))
    reseal(folder, lambda body: body["metrics"].pop("iou", None))
    with pytest.raises(DataError, match=r"metrics: expected each one of scores.csv, got none for iou"):
        read_run(folder)


def test_shares_are_between_0_and_1(tmp_path: Path) -> None:
    table = make_table(1)
    table.loc[7, "value"] = 1.5
    folder = write_run(tmp_path / "run", table)
    with pytest.raises(DataError, match=r"scores\.csv: expected shares in \[0, 1\] as boundary_iou, got 1\.5"):
        read_run(folder)
    reseal(folder, lambda body: body["metrics"]["boundary_iou"].update(percent=False))
    assert read_run(folder).table["value"].max() == 1.5


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", make_table(1))
    for name in ("scores.csv", "metrics.json"):
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(DataError, match=rf"{name}: expected a regular file, got a pipe"):
            read_run(folder)


def test_a_set_by_the_name_of_the_mean_is_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", make_table(1, "mean of sets"))
    with pytest.raises(DataError, match="rename the set"):
        read_run(folder)


ODD = [
    *(None, True, -1, 7.0, 1e308, -1e-320, 2**62, 10**30, "", "nan", "inf", "x" * 1000, "\u0000", "$a_$", "a|b\n# c"),
    *([], {}, [[]], {"": None}, ["a", 1], {"hq": "1"}, 0, 0.5),
]


def mutate_metrics(rng: random.Random, body: dict[str, Any]) -> None:
    """Replaces, drops or adds a value anywhere."""
    places = [(body, key) for key in body]
    for parent, key in places:
        inner = parent[key]
        if isinstance(inner, dict | list):
            places += [(inner, each) for each in (inner if isinstance(inner, dict) else range(len(inner)))]
    weights = [30 if parent is body["run"] else 10 if parent is body["config"] else 1 for parent, _ in places]
    ((parent, key),) = rng.choices(places, weights)
    if rng.random() < 0.2:
        del parent[key]
    else:
        parent[key] = rng.choice(ODD)


def mutate_scores(rng: random.Random, text: str) -> str:
    """Changes a cell, or drops, repeats or swaps lines."""
    table = list(csv.reader(io.StringIO(text)))
    line = rng.randrange(1, len(table))
    kind = rng.randrange(5)
    if kind < 3:
        odd = (
            "nan",
            "inf",
            "-0.5",
            "7.0",
            "1e400",
            "",
            "0x1",
            "1_0",
            "\u0663",
            "0.5",
            "mean of sets",
            '"',
            "sam",
            "\ud83d",
        )
        table[line][rng.randrange(len(table[0]))] = rng.choice(odd)
    elif kind == 3:
        table[line] = table[rng.randrange(1, len(table))]
    else:
        del table[line][rng.randrange(len(table[0]))]
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(table)
    return written.getvalue()


def damage(rng: random.Random, content: bytes) -> bytes:
    """Flips bits, cuts, repeats."""
    place = rng.randrange(len(content))
    changed = bytearray(content)
    changed[place] ^= 1 << rng.randrange(8)
    return rng.choice([bytes(changed), content[:place], content + content[place:], content[place:]])


def report_of(run: Path, out: Path) -> str:
    runs = [read_run(run)]
    check_comparable(runs)
    write_report(out, Summary(group_runs(runs)), None, "report")
    return (out / "report.csv").read_text()


@pytest.mark.parametrize("kind", ["metrics", "scores", "bytes"])
def test_mutated_runs_are_refused_or_reported_with_numbers(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 odd runs: an error by name, or a report without NaN and infinity; never a traceback."""
    # drawing, which is slow, has its own tests
    monkeypatch.setattr("hqsam_lightning.reporting.report_files.draw_picture", lambda name, draw: None)
    monkeypatch.setattr("hqsam_lightning.evaluation.table.RESAMPLES", 20)
    rng = random.Random(14)
    folder = write_run(tmp_path / "run", make_table(1, images=2), {"trainable_parameters": {"sam": 0, "hq": 5}})
    sound = {path.name: path.read_bytes() for path in folder.iterdir()}
    refused = 0
    for _ in range({"metrics": 100, "scores": 60, "bytes": 40}[kind]):
        for name, content in sound.items():
            (folder / name).write_bytes(content)
        if kind == "metrics":
            reseal(folder, lambda body: mutate_metrics(rng, body))
        elif kind == "scores":
            text = mutate_scores(rng, sound["scores.csv"].decode())
            (folder / "scores.csv").write_text(text, "utf-8", "surrogatepass")
            reseal(folder)
        else:
            name = rng.choice(["metrics.json", "scores.csv"])
            (folder / name).write_bytes(damage(rng, sound[name]))
        try:
            table = report_of(folder, tmp_path / "out")
        except (ConfigError, DataError):
            refused += 1
            continue
        for entry in csv.DictReader(io.StringIO(table)):
            numbers = [float(entry[key]) for key in ("mean", "std", "least", "greatest", "low", "high") if entry[key]]
            assert all(math.isfinite(number) and -1 <= number <= 1 for number in numbers), entry
    assert refused > 5
    assert kind == "metrics" or refused > 20


def test_a_run_without_scores_is_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", make_table(1))
    head = (folder / "scores.csv").read_text().splitlines()[0]
    (folder / "scores.csv").write_text(head + "\n")
    reseal(folder)
    with pytest.raises(DataError, match="the run had no validation set"):
        read_run(folder)


def test_a_multirun_gives_its_finished_points(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (0, 2, 10):
        write_run(tmp_path / "multi" / str(number), make_table(1))
    for number in (0, 1, 2, 10):
        (tmp_path / "multi" / str(number) / ".hydra").mkdir(parents=True)
    assert [folder.name for folder in find_runs(tmp_path / "multi")] == ["0", "2", "10"]
    assert "runs that did not finish, left out: 1" in caplog.text
    assert find_runs(tmp_path / "multi" / "2") == [tmp_path / "multi" / "2"]
    assert [str(folder.relative_to(tmp_path)) for folder in find_runs(tmp_path)] == ["multi/0", "multi/2", "multi/10"]
    assert find_runs(tmp_path / "absent") == [tmp_path / "absent"]
