"""Folders of finished runs: found, and read with every value checked that a report uses."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from hqsam_lightning.errors import DataError
from hqsam_lightning.evaluation.table import SCORES_FILE, read_table
from hqsam_lightning.reporting.metric_facts import MetricFacts, of_table
from hqsam_lightning.reporting.numbers import MEAN_OF_SETS
from hqsam_lightning.reporting.results import METRICS_FILE, METRICS_KIND, METRICS_VERSION
from hqsam_lightning.reporting.run_checks import find_fault
from hqsam_lightning.reporting.runs import Run
from hqsam_lightning.storage.files import file_sha256, read_document

log = logging.getLogger(__name__)

REMEDY = (
    "run it again, or make the report with the version of hqsam_lightning that wrote it (hqsam_lightning under run in "
    "the file)"
)


def find_runs(folder: Path) -> list[Path]:
    """The folder itself, or the finished runs in it, such as a multirun's; those that did not finish are left out.

    Logs which those are.
    """
    if (folder / METRICS_FILE).is_file():
        return [folder]
    begun = [path.parent for path in folder.rglob(".hydra")]
    # point 10 comes after point 9
    begun.sort(key=lambda path: [(len(part), part) for part in path.relative_to(folder).parts])
    finished = [run for run in begun if (run / METRICS_FILE).is_file()]
    if len(finished) < len(begun):
        names = ", ".join(str(run.relative_to(folder)) for run in begun if run not in finished)
        log.warning("%s: runs that did not finish, left out: %s", folder, names)
    return finished or [folder]


def read_run(folder: Path) -> Run:
    """Reads metrics.json and scores.csv, and checks that they belong together.

    Raises:
        DataError: naming the folder and the file that is missing, damaged, of another version or of another run.
    """
    for name in (METRICS_FILE, SCORES_FILE):
        if not (folder / name).exists():
            raise DataError(
                f"runs: expected {METRICS_FILE} and {SCORES_FILE} in {folder}; {name} is missing; "
                "give folders of finished runs"
            )
    metrics = read_document(folder / METRICS_FILE, METRICS_KIND, METRICS_VERSION, DataError, REMEDY)
    if fault := find_fault(metrics):
        raise DataError(f"{folder / METRICS_FILE}: {fault}; {REMEDY}")
    table = read_table(folder / SCORES_FILE)
    written = metrics["files"].get(SCORES_FILE)
    if written != file_sha256(folder / SCORES_FILE):
        raise DataError(
            f"{folder / SCORES_FILE}: expected the file of SHA-256 {written} that {METRICS_FILE} was written with; it "
            "was changed, damaged, or is of another run; run it again"
        )
    if table.empty:
        raise DataError(f"{folder / SCORES_FILE}: expected scored masks, got none: the run had no validation set")
    if MEAN_OF_SETS in table["dataset"].to_numpy():
        raise DataError(
            f"{folder / SCORES_FILE}: expected validation sets of other names than {MEAN_OF_SETS!r}, which reports "
            "call the mean by; rename the set and run it again"
        )
    known = {name: MetricFacts(**facts) for name, facts in metrics["metrics"].items()}
    _check_values(folder, table, known)
    return Run(folder, metrics["run"], metrics["config"], table, of_table(known, table["metric"]))


def _check_values(folder: Path, table: pd.DataFrame, known: Mapping[str, MetricFacts]) -> None:
    for name, values in table.groupby("metric")["value"]:
        if name not in known:
            raise DataError(
                f"{folder / METRICS_FILE}: metrics: expected each one of {SCORES_FILE}, got none for {name}; {REMEDY}"
            )
        odd = values[(values < 0) | (values > 1)]
        if known[name].percent and len(odd):
            raise DataError(f"{folder / SCORES_FILE}: expected shares in [0, 1] as {name}, got {odd.iloc[0]}; {REMEDY}")
