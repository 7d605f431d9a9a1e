"""Run folders with made-up scores, for the tests of reports."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hqsam_lightning.evaluation.table import COLUMNS, Row
from hqsam_lightning.reporting.metric_facts import MetricFacts
from hqsam_lightning.reporting.results import Results, write_results

ROWS: tuple[Row, ...] = (("sam", "sam"), ("hq", "hq"), ("hq", "sum"))
METRICS = {"iou": MetricFacts("mIoU"), "boundary_iou": MetricFacts("mBIoU")}
FACTS = {
    "name": "quickstart",
    "command": "python -m hqsam_lightning.train +experiment=quickstart",
    "date": "2026-11-23",
    "seed": 1,
    "sam": "nano",
    "sam_sha256": "ab" * 32,
    "output": "hq",
    "data": "validating on scenes 6",
    "trainable_parameters": {"sam": 0, "hq": 1_333_248},
}
CONFIG = {
    **{"seed": 1, "name": "quickstart", "sam": {"precision": "fp32"}, "evaluation": {"metric": "boundary_iou"}},
    **{"val_prompts": {"box": {"mix": {"box": 1}}}, "metrics": {"iou": {}, "boundary_iou": {"dilation_ratio": 0.02}}},
    **{"optimizer": {"lr": 1e-3}},
}


def make_table(
    seed: int,
    dataset: str = "scenes",
    images: int = 6,
    rows: tuple[Row, ...] = ROWS,
    gain: float = 0.1,
    prompts: str = "box",
    metrics: tuple[str, ...] = ("iou", "boundary_iou"),
) -> pd.DataFrame:
    """Two masks per image, the second one thin; plain SAM's scores and all shapes are the same for every seed."""
    fixed, own = np.random.default_rng(images), np.random.default_rng(seed)
    lines = []
    for image in range(images):
        for mask in range(2):
            base = fixed.uniform(0.2, 0.7, len(metrics))
            shape = float(fixed.uniform(0.6, 1.0) if mask else fixed.uniform(0, 0.1))
            sample = f"{dataset}/{image:04d}"
            for row in rows:
                noise = own.normal(0, 0.02, len(metrics))
                values = base if row == rows[0] else np.clip(base + gain * (1 + mask) + noise, 0, 1)
                for metric, value in zip(metrics, values.tolist(), strict=True):
                    lines.append(("run", *row, dataset, sample, mask, prompts, metric, value, shape, sample))
    return pd.DataFrame(lines, columns=[*COLUMNS])


def with_gains(gains: dict[str, float]) -> pd.DataFrame:
    """Plain SAM, and variants that are better by a fixed gain on every mask, by both outputs."""
    table = make_table(0, rows=ROWS[:1])
    others = [
        table.assign(variant=name, output=output, value=table["value"] + gain)
        for name, gain in gains.items()
        for output in ("hq", "sum")
    ]
    return pd.concat([table, *others], ignore_index=True)


def write_run(
    folder: Path, table: pd.DataFrame, facts: dict[str, Any] | None = None, config: dict[str, Any] | None = None
) -> Path:
    """Writes a run as training does; `facts` and `config` are laid over the defaults."""
    folder.mkdir(parents=True)
    facts, config = facts or {}, config or {}
    seed = {"seed": facts.get("seed", 1)}
    metrics = {name: METRICS.get(name, MetricFacts(name)) for name in table["metric"].unique()}
    write_results(folder, Results(table, metrics, FACTS | facts, CONFIG | seed | config))
    return folder
