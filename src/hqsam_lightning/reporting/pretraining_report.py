"""What a pretraining run leaves behind: weights that float16 holds, metrics.json and results.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from segment_anything.modeling import Sam

from hqsam_lightning.escaping import escape_markdown
from hqsam_lightning.reporting.markdown import markdown_table, percent
from hqsam_lightning.reporting.results import METRICS_FILE
from hqsam_lightning.storage.files import write_document, write_whole

METRICS_KIND, METRICS_VERSION = "pretraining_metrics", 1
HEAD = ["prompt", "mIoU"]
TITLES = {"filled_box": "filled box (no model)", "box": "box", "point": "1 point"}


@torch.no_grad()
def round_to_half(sam: Sam) -> None:
    """Rounds the weights in place to what float16 holds, so that what is scored is what is shipped."""
    for tensor in sam.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())


def result_rows(scores: dict[str, float]) -> list[dict[str, Any]]:
    """One row per protocol."""
    return [{"prompt": name, "miou": score} for name, score in scores.items()]


def write_results(folder: Path, rows: list[dict[str, Any]], run: dict[str, Any], config: dict[str, Any]) -> None:
    """Writes results.md, then metrics.json, which marks a finished run.

    Args:
        folder: the run's output folder.
        rows: of `result_rows`.
        run: facts of the run.
        config: the resolved config as plain values.

    Raises:
        StorageError: the disk is full or cannot be written.
        ValueError: a number is NaN or infinite; nothing is written then.
    """
    body = {"run": run, "rows": rows, "config": config}
    json.dumps(body, allow_nan=False)
    lines = ["# Results", "", "mIoU in percent, single-mask output.", "", *markdown_table([HEAD, *_cells(rows)])]
    facts = [f"- {escape_markdown(f'{key}: {value}')}" for key, value in run.items()]
    write_whole(folder / "results.md", ("\n".join([*lines, "", *facts]) + "\n").encode())
    write_document(folder / METRICS_FILE, METRICS_KIND, METRICS_VERSION, body)


def print_results(rows: list[dict[str, Any]], console: Console) -> None:
    """Prints the table."""
    table = Table(title="mIoU in percent")
    table.add_column(HEAD[0])
    table.add_column(HEAD[1], justify="right")
    for cells in _cells(rows):
        table.add_row(*cells)
    console.print(table)


def _cells(rows: list[dict[str, Any]]) -> list[list[str]]:
    return [[TITLES[row["prompt"]], percent(row["miou"])] for row in rows]
