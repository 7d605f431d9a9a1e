"""Run folders with made-up scores, for the tests of reports."""

from pathlib import Path
from typing import Any

import numpy as np

from hqsam_lightning.evaluation.scores import MaskScores, Row
from hqsam_lightning.reporting.results import result_rows, write_results

ROWS: tuple[Row, ...] = (("sam", "sam"), ("hq", "hq"), ("hq", "sum"))
FACTS = {
    "name": "quickstart",
    "command": "python -m hqsam_lightning.train +experiment=quickstart",
    "date": "2026-11-23",
    "seed": 1,
    "sam": "nano",
    "sam_sha256": "ab" * 32,
    "output": "hq",
    "dilation_ratio": 0.02,
    "data": "validating on scenes 6",
}
CONFIG = {
    **{"seed": 1, "name": "quickstart", "sam": {"precision": "fp32"}},
    **{"val_prompts": {"box": {"mix": {"box": 1}}}, "optimizer": {"lr": 1e-3}},
}


def make_masks(
    seed: int, dataset: str = "scenes", images: int = 6, rows: tuple[Row, ...] = ROWS, gain: float = 0.1
) -> list[MaskScores]:
    """Two masks an image, the second one thin; plain SAM's scores and all shapes are the same for every seed."""
    fixed, own = np.random.default_rng(images), np.random.default_rng(seed)
    masks = []
    for image in range(images):
        for mask in range(2):
            base = fixed.uniform(0.2, 0.7, 2)
            scores: dict[Row, tuple[float, float]] = {rows[0]: (float(base[0]), float(base[1]))}
            for row in rows[1:]:
                iou, biou = np.clip(base + gain * (1 + mask) + own.normal(0, 0.02, 2), 0, 1)
                scores[row] = (float(iou), float(biou))
            shape = float(fixed.uniform(0.6, 1.0) if mask else fixed.uniform(0, 0.1))
            masks.append(MaskScores(dataset, f"{dataset}/{image:04d}", mask, shape, scores))
    return masks


def write_run(
    folder: Path,
    masks: list[MaskScores],
    facts: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
) -> Path:
    """Writes a run as training does; `facts` and `config` are laid over the defaults."""
    folder.mkdir(parents=True)
    parameters = {row[0]: 0 for row in masks[0].scores}
    facts, config = facts or {}, config or {}
    seed = {"seed": facts.get("seed", 1)}
    write_results(folder, result_rows(masks, parameters), masks, FACTS | facts, CONFIG | seed | config, None)
    return folder
