"""What a run leaves behind: scores.csv, results.md, metrics.json and tables on the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hqsam_lightning.escaping import printable
from hqsam_lightning.evaluation.table import (
    BASELINE,
    SCORES_FILE,
    as_records,
    differences,
    rows_of,
    summarise,
    write_table,
)
from hqsam_lightning.reporting.costs import frame_table
from hqsam_lightning.reporting.lines import cost_lines, prose, score_lines
from hqsam_lightning.reporting.markdown import fact_lines
from hqsam_lightning.reporting.metric_facts import MetricFacts, describe, of_table
from hqsam_lightning.reporting.numbers import Summary
from hqsam_lightning.reporting.runs import Recipe, Run
from hqsam_lightning.reporting.tables import metric_lines, overview, set_differences, set_scores
from hqsam_lightning.reporting.verdicts import verdict
from hqsam_lightning.storage.files import write_document, write_whole
from hqsam_lightning.training.callbacks.best_checkpoint import BestWeights

METRICS_FILE, RESULTS_FILE = "metrics.json", "results.md"
METRICS_KIND, METRICS_VERSION = "metrics", 2
WIDE = 400
LEFT_ALIGNED = ("recipe", "method", "logits", "metric", "frame")


@dataclass(frozen=True)
class Results:
    """What a run gives.

    Attributes:
        table: of scores, by the last weights; see `hqsam_lightning.evaluation.table`.
        metrics: of the table, by name.
        facts: of the run: command, date, seed, SAM, steps, ...
        config: resolved, as plain values.
        best: the validations that the best checkpoints are of, by variant.
    """

    table: pd.DataFrame
    metrics: Mapping[str, MetricFacts]
    facts: dict[str, Any]
    config: dict[str, Any]
    best: Mapping[str, BestWeights] = field(default_factory=dict)

    @property
    def means(self) -> pd.DataFrame:
        """See `hqsam_lightning.evaluation.table.summarise`."""
        return summarise(self.table)

    @property
    def best_table(self) -> pd.DataFrame | None:
        """Scores of the best checkpoints that hold other weights than the last ones, and of plain SAM."""
        chosen = {name: best for name, best in self.best.items() if best.step != self.facts.get("steps")}
        parts = [best.table[best.table["variant"].isin([BASELINE, name])] for name, best in chosen.items()]
        if not parts:
            return None
        return pd.concat(parts).drop_duplicates([*self.table.columns[:8]], ignore_index=True)

    def summary(self) -> Summary | None:
        """The numbers of last and best weights, as a report of one run; None where nothing was scored."""
        if self.table.empty:
            return None
        tables = {"last": self.table, "best": self.best_table}
        metrics = of_table(self.metrics, self.table["metric"])
        recipes = [
            Recipe(f"{name} weights", [Run(Path(), self.facts, self.config, table, metrics)])
            for name, table in tables.items()
            if table is not None
        ]
        return Summary(recipes)


def write_results(folder: Path, results: Results) -> None:
    """Writes scores.csv, results.md and metrics.json, in this order: metrics.json marks a finished run.

    Raises:
        StorageError: the disk is full or cannot be written; the same command can be run again.
        ValueError: a number is NaN or infinite; nothing is written then.
    """
    if not results.table["value"].notna().all():
        raise ValueError("expected finite scores, got NaN")
    body = {
        "run": results.facts,
        "metrics": {name: vars(metric) for name, metric in results.metrics.items()},
        "scores": as_records(results.means),
        "differences": as_records(differences(results.table)),
        "best": {name: _best_entry(name, best, results.metrics) for name, best in results.best.items()},
        "config": results.config,
    }
    json.dumps(body, allow_nan=False)  # refused before anything is written
    files = {SCORES_FILE: write_table(folder / SCORES_FILE, results.table)}
    write_tables(folder, results)
    write_document(folder / METRICS_FILE, METRICS_KIND, METRICS_VERSION, {**body, "files": files})


def write_tables(folder: Path, results: Results, picture: str | None = None) -> None:
    """Writes results.md; `picture` is the file name of the panels beside it, if there are any."""
    summary = results.summary()
    lines = ["# Results", "", *(prose("Nothing was scored.") if summary is None else score_lines(summary))]
    lines += [line for sentence in (*describe_best(results), *describe_choices(results)) for line in prose(sentence)]
    lines += [] if summary is None else cost_lines(summary)
    lines += [f"![Image, ground truth, SAM and HQ-SAM]({picture})", ""] if picture else []
    write_whole(folder / RESULTS_FILE, "\n".join([*lines, "## Run", "", *fact_lines(results.facts)]).encode())


def describe_best(results: Results) -> list[str]:
    """Which weights each best checkpoint holds, in a sentence."""
    last = results.facts.get("steps")
    sentences = []
    for name, best in results.best.items():
        chosen = f"{best.metric} {best.value:.4f}"
        which = f"{name}: the best checkpoint is of epoch {best.epoch + 1}, step {best.step}: {chosen}."
        same = "These are the last weights." if best.step == last else f"The last weights are of step {last}."
        sentences.append(f"{which} {same}")
    return sentences


def print_results(results: Results, console: Console | None = None) -> None:
    """Prints the tables, by default on `wide_console`; results.md has differences of thin and solid objects, too."""
    console, summary = console or wide_console(), results.summary()
    if summary is None:
        return
    contents = describe(summary.in_cells)
    if len(summary.sets) > 1 and summary.in_cells:
        print_table(overview(summary), f"All sets: {contents}", console)
    for place in summary.sets:
        name = summary.name_of(place)
        if summary.in_cells:
            print_table(set_scores(summary, place), f"{name}: {contents}", console)
        if summary.in_cells and len(rows_of(results.table)) > 1:
            title = f"{name}: difference to SAM, 95 % interval"
            print_table(set_differences(summary, place, ("all",)), title, console)
        if len(lines := metric_lines(summary, place)):
            print_table(lines, f"{name}: shares in percent", console)
    if len(frames := frame_table(summary)):
        print_table(frames, "Cost of what prompts are shown", console)


def print_table(cells: pd.DataFrame, title: str, console: Console) -> None:
    """Prints a table of texts."""
    table = Table(title=Text(printable(title)))
    for name in cells.columns:
        justify = "left" if name in LEFT_ALIGNED else "right"
        table.add_column(Text(printable(name)), justify=justify, overflow="fold")  # type: ignore[arg-type]
    for line in cells.to_numpy():
        table.add_row(*(Text(printable(cell)) for cell in line))
    console.print(table)


def wide_console() -> Console:
    """A console on standard output that folds nothing where there is no terminal, which has a width."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def describe_choices(results: Results) -> list[str]:
    """Which output each best checkpoint is used with, and why, in a sentence; none where the run makes no choice."""
    return [_verdict(name, best, results.metrics) for name, best in results.best.items() if best.output is not None]


def _best_entry(name: str, best: BestWeights, metrics: Mapping[str, MetricFacts]) -> dict[str, Any]:
    facts = {"epoch": best.epoch, "step": best.step, "metric": best.metric, "value": best.value}
    chosen = {} if best.output is None else {"output": best.output, "verdict": _verdict(name, best, metrics)}
    return {**facts, **chosen, "scores": as_records(summarise(best.table))}


def _verdict(name: str, best: BestWeights, metrics: Mapping[str, MetricFacts]) -> str:
    return verdict(best.table, name, str(best.output), best.metric, metrics)
