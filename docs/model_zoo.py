"""Tables of the model zoo, made from files: the metrics of the shipped head's run, and the paper's numbers.

`docs/conf.py` puts them into `model_zoo.md` when the pages are built.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hqsam_lightning.reporting.markdown import markdown_table
from hqsam_lightning.reporting.metric_facts import MetricFacts
from hqsam_lightning.reporting.paper import read_paper_table

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "src" / "hqsam_lightning" / "inference" / "shipped" / "hq_nano" / "config.json"
BACKBONES = ROOT / "experiments" / "table10_backbones" / "table.yaml"
MODELS = {("sam", "sam"): "nano", ("hq", "sum"): "hq_nano", ("hq", "hq"): "hq_nano, output=hq"}
COLUMNS = {
    "scenes": ("synthetic", "all"),
    "thin objects of scenes": ("synthetic", "thin"),
    "photographs": ("photos", "all"),
    "ECSSD": ("ecssd", "all"),
}


def tables() -> dict[str, str]:
    """Markdown by the name that `model_zoo.md` has for it."""
    facts = json.loads(SHIPPED.read_text())["facts"]
    run = facts["run"]
    return {
        "shipped_scores": _shipped_scores(facts),
        "shipped_run": f"`{run['command']}` ({run['date']}, commit {run['commit'][:12]})",
        "published_scores": _published_scores(),
    }


def _shipped_scores(facts: Mapping[str, Any]) -> str:
    """Scores, mIoU / mBIoU, of SAM-nano and of the head on it."""
    lines = []
    for (variant, output), name in MODELS.items():
        places = ({"dataset": data, "group_of_objects": group} for data, group in COLUMNS.values())
        lines.append([name, *(_cell(facts, {"variant": variant, "output": output, **place}) for place in places)])
    return "\n".join(markdown_table(pd.DataFrame(lines, columns=["model", *COLUMNS])))


def _cell(facts: Mapping[str, Any], wanted: Mapping[str, str]) -> str:
    texts = []
    for name, metric in facts["metrics"].items():
        (row,) = [each for each in facts["scores"] if {**wanted, "metric": name}.items() <= each.items()]
        texts.append(MetricFacts(**metric).text(row["mean"]))
    return " / ".join(texts)


def _published_scores() -> str:
    """Scores, mIoU / mBIoU, that the paper reports, and sizes."""
    lines = []
    for row in read_paper_table(BACKBONES):
        sam = row.when["sam.name"]
        name = f"hq_{sam}" if row.variant == "hq" else sam
        lines.append([name, f"{row.miou} / {row.mbiou}", f"{row.costs['total_mib']:,}"])
    return "\n".join(markdown_table(pd.DataFrame(lines, columns=["model", "paper", "MiB"])))
