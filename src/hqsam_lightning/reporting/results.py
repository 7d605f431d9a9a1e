"""What a run leaves behind: metrics.json, results.md and a table on the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hqsam_lightning.training.scores import Score

OUTPUT_NAMES = {"sam": "SAM", "hq": "HQ", "sum": "SAM + HQ"}


def result_rows(scores: Sequence[Score], parameters: dict[str, int]) -> list[dict[str, Any]]:
    """One row a (variant, output), with its scores a set and their mean over sets.

    Args:
        scores: of all sets.
        parameters: trainable parameters by variant.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for score in scores:
        row = rows.setdefault(
            (score.variant, score.output),
            {
                "variant": score.variant,
                "logits": score.output,
                "trainable_parameters": parameters[score.variant],
                "sets": {},
            },
        )
        row["sets"][score.dataset] = {"miou": score.miou, "mbiou": score.mbiou, "masks": score.count}
    for row in rows.values():
        cells = list(row["sets"].values())
        row["mean"] = {metric: sum(cell[metric] for cell in cells) / len(cells) for metric in ("miou", "mbiou")}
    return list(rows.values())


def write_results(folder: Path, rows: list[dict[str, Any]], run: dict[str, Any], picture: str | None) -> None:
    """Writes metrics.json and results.md.

    Args:
        folder: the run's output folder.
        rows: of `result_rows`.
        run: facts of the run: command, date, seed, SAM, steps, ...
        picture: file name of the panels beside results.md, if there are any.
    """
    (folder / "metrics.json").write_text(json.dumps({"run": run, "rows": rows}, indent=2, allow_nan=False) + "\n")
    head, *body = _cells(rows)
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(cells) + " |" for cells in body]
    facts = [f"- {key}: {value}" for key, value in run.items()]
    image = [f"![Image, ground truth, SAM and HQ-SAM]({picture})", ""] if picture else []
    text = ["# Results", "", "mIoU / mBIoU in percent.", "", *lines, "", *image, *facts]
    (folder / "results.md").write_text("\n".join(text) + "\n")


def print_results(rows: list[dict[str, Any]], console: Console) -> None:
    """Prints the table."""
    head, *body = _cells(rows)
    table = Table(title="mIoU / mBIoU in percent")
    for index, title in enumerate(head):
        table.add_column(title, justify="left" if index < 2 else "right")
    for cells in body:
        table.add_row(*cells)
    console.print(table)


def _cells(rows: list[dict[str, Any]]) -> list[list[str]]:
    sets = list(rows[0]["sets"]) if rows else []
    means = ["mean"] if len(sets) > 1 else []
    table = [["method", "logits", "trainable parameters", *sets, *means]]
    for row in rows:
        scores = [row["sets"][name] for name in sets] + ([row["mean"]] if means else [])
        pairs = [f"{100 * score['miou']:.1f} / {100 * score['mbiou']:.1f}" for score in scores]
        table.append([row["variant"], OUTPUT_NAMES[row["logits"]], f"{row['trainable_parameters']:,}", *pairs])
    return table
