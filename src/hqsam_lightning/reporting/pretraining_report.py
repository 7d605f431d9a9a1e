"""What a pretraining run leaves behind: weights that float16 holds, metrics.json and results.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from segment_anything.modeling import Sam

from hqsam_lightning.reporting.markdown import fact_lines, markdown_table
from hqsam_lightning.reporting.metric_facts import MetricFacts
from hqsam_lightning.reporting.results import METRICS_FILE, RESULTS_FILE
from hqsam_lightning.storage.files import write_document, write_whole

METRICS_KIND, METRICS_VERSION = "pretraining_metrics", 1
TITLES = {"filled_box": "filled box (no model)", "box": "box", "point": "1 point"}


@torch.no_grad()
def round_to_half(sam: Sam) -> None:
    """Rounds the weights in place to what float16 holds, so that what is scored is what is shipped."""
    for tensor in sam.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())


def score_table(scores: Mapping[str, float]) -> pd.DataFrame:
    """The mIoU of each protocol as text."""
    metric = MetricFacts("mIoU")
    cells = [(TITLES[name], metric.text(score)) for name, score in scores.items()]
    return pd.DataFrame(cells, columns=["prompt", metric.unit])


def write_results(folder: Path, scores: Mapping[str, float], run: dict[str, Any], config: dict[str, Any]) -> None:
    """Writes results.md, then metrics.json, which marks a finished run, with the mIoU by protocol and facts of the run.

    Raises:
        StorageError: the disk is full or cannot be written.
        ValueError: a number is NaN or infinite; nothing is written then.
    """
    rows = [{"prompt": name, "miou": score} for name, score in scores.items()]
    body = {"run": run, "rows": rows, "config": config}
    json.dumps(body, allow_nan=False)
    lines = ["# Results", "", "Single-mask output.", "", *markdown_table(score_table(scores)), *fact_lines(run)]
    write_whole(folder / RESULTS_FILE, "\n".join(lines).encode())
    write_document(folder / METRICS_FILE, METRICS_KIND, METRICS_VERSION, body)
