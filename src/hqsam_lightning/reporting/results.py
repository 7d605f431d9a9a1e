"""What a run leaves behind: metrics.json, scores.csv, results.md and a table on the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hqsam_lightning.escaping import escape_markdown, printable
from hqsam_lightning.evaluation.scores import BASELINE, GROUPS, BestScores, MaskScores, summarise
from hqsam_lightning.reporting.markdown import NOTHING, interval, markdown_table, percent
from hqsam_lightning.reporting.paired import image_differences, paired_difference
from hqsam_lightning.reporting.score_file import SCORES_FILE, write_scores
from hqsam_lightning.storage.files import write_document, write_whole

METRICS_FILE = "metrics.json"
METRICS_KIND, METRICS_VERSION = "metrics", 1
BEST_TITLE = "Best checkpoint"
WIDE = 400
OUTPUT_NAMES = {"sam": "SAM", "hq": "HQ", "sum": "SAM + HQ"}
NAME_COLUMNS = ("method", "logits", "trainable parameters")
NOTES = (
    "mIoU / mBIoU in percent, means over masks. Thin objects lose more than a fifth of their area to an opening by a "
    "disc whose radius is 2 % of the photo's diagonal; the others are solid.",
    "Differences to plain SAM on the same masks: in points, means over images (masks of one image averaged first), "
    "with 95 % bootstrap intervals over images.",
)


def result_rows(masks: Sequence[MaskScores], parameters: dict[str, int]) -> list[dict[str, Any]]:
    """One row per (variant, output), as plain values.

    A row holds its scores a set under "sets" (all objects), "thin" and "solid" (the sets that have such objects), the
    mean over sets of all objects, and its "differences" to plain SAM by group and set.

    Args:
        masks: scored masks of all sets.
        parameters: trainable parameters by variant.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for score in summarise(masks):
        row = rows.setdefault(
            (score.variant, score.output),
            {
                "variant": score.variant,
                "logits": score.output,
                "trainable_parameters": parameters[score.variant],
                **{_key(group): {} for group in GROUPS},
            },
        )
        row[_key(score.group)][score.dataset] = {"miou": score.miou, "mbiou": score.mbiou, "masks": score.count}
    for name, row in rows.items():
        cells = list(row["sets"].values())
        row["mean"] = {metric: sum(cell[metric] for cell in cells) / len(cells) for metric in ("miou", "mbiou")}
        if name[0] != BASELINE:
            row["differences"] = _differences(masks, row)
    return list(rows.values())


def write_results(
    folder: Path,
    rows: list[dict[str, Any]],
    masks: Sequence[MaskScores],
    run: dict[str, Any],
    config: dict[str, Any],
    picture: str | None,
    best: dict[str, Any] | None = None,
) -> None:
    """Writes scores.csv, results.md and metrics.json, in this order: metrics.json marks a finished run.

    Args:
        folder: the run's output folder.
        rows: of `result_rows`, for the last weights.
        masks: the scored masks that the rows are means of.
        run: facts of the run: command, date, seed, SAM, steps, ...
        config: the resolved config as plain values.
        picture: see `write_tables`.
        best: of `best_entry`, for best.ckpt.

    Raises:
        StorageError: the disk is full or cannot be written; the same command can be run again.
        ValueError: a number is NaN or infinite; nothing is written then.
    """
    body = {"run": run, "rows": rows, "best": best, "config": config}
    json.dumps(body, allow_nan=False)  # NaN is refused before anything is written
    files = {SCORES_FILE: write_scores(folder / SCORES_FILE, masks)}
    write_tables(folder, rows, run, picture, best)
    write_document(folder / METRICS_FILE, METRICS_KIND, METRICS_VERSION, {**body, "files": files})


def best_entry(best: BestScores, parameters: dict[str, int]) -> dict[str, Any]:
    """What metrics.json holds of the best checkpoint, as plain values.

    Args:
        best: the scores of its validation.
        parameters: trainable parameters by variant.
    """
    facts = {"epoch": best.epoch, "step": best.step, "monitor": best.monitor, "score": best.score}
    return {**facts, "rows": result_rows(best.masks, parameters)}


def write_tables(
    folder: Path,
    rows: list[dict[str, Any]],
    run: dict[str, Any],
    picture: str | None,
    best: dict[str, Any] | None,
) -> None:
    """Writes results.md.

    Args:
        folder: the run's output folder.
        rows: of `result_rows`, for the last weights.
        run: facts of the run.
        picture: file name of the panels beside results.md, if there are any.
        best: see `write_results`.
    """
    notes = [line for note in NOTES for line in (note, "")]
    image = [f"![Image, ground truth, SAM and HQ-SAM]({picture})", ""] if picture else []
    facts = [f"- {escape_markdown(key)}: {escape_markdown(str(value))}" for key, value in run.items()]
    lines = ["# Results", "", *notes, *_markdown(rows)]
    if best is not None:
        lines += [f"# {BEST_TITLE}", "", escape_markdown(describe_best(best, run.get("steps"))), ""]
        lines += _markdown(best["rows"]) if differs(best, run) else []
    write_whole(folder / "results.md", ("\n".join([*lines, *image, *facts]) + "\n").encode())


def describe_best(best: dict[str, Any], last_step: int | None) -> str:
    """Which weights best.ckpt holds, in a sentence."""
    which = f"best.ckpt is of epoch {best['epoch'] + 1}, step {best['step']}: {best['monitor']} {best['score']:.4f}."
    if best["step"] == last_step:
        return f"{which} These are the last weights."
    return f"{which} The last weights are of step {last_step}."


def differs(best: dict[str, Any], run: dict[str, Any]) -> bool:
    """Whether best.ckpt holds other weights than the last ones."""
    return bool(best["step"] != run.get("steps"))


def print_results(rows: list[dict[str, Any]], console: Console | None = None, note: str = "") -> None:
    """Prints the tables; differences of all objects alone, since results.md has those of thin and solid ones.

    Args:
        rows: of `result_rows`.
        console: to print on; None is standard output, whose lines are not cropped where it is no terminal.
        note: put behind each title.
    """
    console = console or wide_console()
    for title, (head, *body) in _tables(rows, ("all",)):
        table = Table(title=Text(printable(f"{title}{note}")))
        for name in head:
            table.add_column(
                Text(printable(name)),
                justify="left" if name in ("method", "logits", "objects") else "right",
                overflow="fold",
            )
        for cells in body:
            table.add_row(*(Text(printable(cell)) for cell in cells))
        console.print(table)


def wide_console() -> Console:
    """A console on standard output that folds nothing where there is no terminal, which has a width."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def _markdown(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for title, cells in _tables(rows, GROUPS):
        escaped = [[escape_markdown(cell) for cell in line] for line in cells]
        lines += [f"## {escape_markdown(title)}", "", *markdown_table(escaped), ""]
    return lines


def _tables(rows: list[dict[str, Any]], compared: Sequence[str]) -> list[tuple[str, list[list[str]]]]:
    """Titled tables: the sets side by side where there are several, then each set's groups and differences."""
    sets = list(rows[0]["sets"]) if rows else []
    tables = [("All sets: mIoU / mBIoU in percent", _overview(rows, sets))] if len(sets) > 1 else []
    for name in sets:
        tables.append((f"{name}: mIoU / mBIoU in percent", _set_table(rows, name)))
        tables.append((f"{name}: difference to SAM in points, 95 % interval", _difference_table(rows, name, compared)))
    return tables


def _overview(rows: list[dict[str, Any]], sets: list[str]) -> list[list[str]]:
    table = [[*NAME_COLUMNS, *sets, "mean"]]
    for row in rows:
        table.append([*_names(row), *(_pair(row["sets"][name]) for name in sets), _pair(row["mean"])])
    return table


def _set_table(rows: list[dict[str, Any]], dataset: str) -> list[list[str]]:
    counts = {group: rows[0][_key(group)].get(dataset, {"masks": 0})["masks"] for group in GROUPS}
    groups = [f"{group} ({count})" for group, count in counts.items()]
    table = [[*NAME_COLUMNS, *groups]]
    for row in rows:
        table.append([*_names(row), *(_pair(row[_key(group)].get(dataset)) for group in GROUPS)])
    return table


def _difference_table(rows: list[dict[str, Any]], dataset: str, groups: Sequence[str]) -> list[list[str]]:
    table = [["method", "logits", "objects", "images", "mIoU", "mBIoU"]]
    for row in rows:
        for group in groups:
            gained = row.get("differences", {}).get(group, {}).get(dataset)
            if gained:
                intervals = [interval(**gained[metric]) for metric in ("miou", "mbiou")]
                table.append([row["variant"], OUTPUT_NAMES[row["logits"]], group, str(gained["images"]), *intervals])
    return table


def _names(row: dict[str, Any]) -> list[str]:
    return [row["variant"], OUTPUT_NAMES[row["logits"]], f"{row['trainable_parameters']:,}"]


def _pair(cell: dict[str, Any] | None) -> str:
    return f"{percent(cell['miou'])} / {percent(cell['mbiou'])}" if cell else NOTHING


def _key(group: str) -> str:
    return "sets" if group == "all" else group


def _differences(masks: Sequence[MaskScores], row: dict[str, Any]) -> dict[str, dict[str, Any]]:
    name = (row["variant"], row["logits"])
    differences: dict[str, dict[str, Any]] = {}
    for group in GROUPS:
        for dataset in row[_key(group)]:
            chosen = [mask for mask in masks if mask.dataset == dataset and mask.belongs_to(group)]
            difference = paired_difference(image_differences(chosen, name))
            differences.setdefault(group, {})[dataset] = asdict(difference)
    return differences
