"""What methods cost: as measured, and beside what the paper says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import pandas as pd

from hqsam_lightning.reporting.metric_facts import NOTHING
from hqsam_lightning.reporting.numbers import Summary
from hqsam_lightning.reporting.paper import COSTS, PaperRow
from hqsam_lightning.reporting.runs import Recipe
from hqsam_lightning.reporting.tables import UNTRAINED

COST_NOTE = (
    "Parameters in float32; SAM's own are in the total. Images a second: one image and one box at a time, from pixels "
    "in the model's frame to mask logits. Time and memory of training are those of the whole run, which trains all of "
    "its methods together: seconds of training and validation an optimiser step, and the most memory of the process "
    "(on a GPU: of the GPU)."
)
FRAME_NOTE = (
    "Whole photos are encoded once for all of their prompts, cuts (zoom) for one prompt each; a call is an image that "
    "goes through the encoder. Seconds are those of all methods together, from the model's frame to mask logits."
)
PAPER_NOTE = "The paper's costs are those of its own machines (RTX 3090) and SAMs."
MIB_OF_A_PARAMETER = 4 / 2**20


def cost_table(summary: Summary) -> pd.DataFrame:
    """One row per method and recipe, plain SAM where its speed was measured; columns of what is known."""
    rows = []
    for recipe in summary.recipes:
        facts = recipe.runs[0].facts
        shared = [NOTHING if facts.get(key) is None else str(facts[key]) for key in ("step_seconds", "peak_memory_gib")]
        for variant in dict.fromkeys(variant for variant, _ in recipe.rows):
            if variant not in UNTRAINED or variant in facts.get("inference", {}):
                rows.append(([recipe.label, variant], measured_costs(recipe, variant), shared))
    keys = [key for key in COSTS if any(key in costs for _, costs, _ in rows)]
    heads = ["recipe", "method", *(COSTS[key] for key in keys), "seconds a step", "peak GiB"]
    lines = [[*names, *(_cell(costs.get(key)) for key in keys), *shared] for names, costs, shared in rows]
    return pd.DataFrame(lines, columns=heads)


def frame_table(summary: Summary) -> pd.DataFrame:
    """What evaluations encoded for each photo, one row per recipe and pass; empty where none says so."""
    lines = []
    for recipe in summary.recipes:
        for name, costs in recipe.runs[0].facts.get("frames", {}).items():
            encoded, seconds = (_cell(costs.get(f"{key}_per_photo")) for key in ("encoded", "seconds"))
            lines.append([*([recipe.label] if len(summary.recipes) > 1 else []), name, encoded, seconds])
    heads = ["recipe", "frame", "encoder calls a photo", "seconds a photo"]
    return pd.DataFrame(lines, columns=heads if len(summary.recipes) > 1 else heads[1:])


def measured_costs(recipe: Recipe, variant: str) -> dict[str, float]:
    """What is known of a method's costs, by the keys of `COSTS`; means over seeds where they are times."""
    facts = [run.facts for run in recipe.runs]
    costs: dict[str, float] = {}
    for key, fact in (("trainable_mib", "trainable_parameters"), ("total_mib", "total_parameters")):
        if variant in facts[0].get(fact, {}):
            costs[key] = facts[0][fact][variant] * MIB_OF_A_PARAMETER
    for key in ("images_per_second", "gpu_gib"):
        values = [each["inference"][variant].get(key) for each in facts if variant in each.get("inference", {})]
        if values and None not in values:
            costs[key] = mean(values)
    if costs.get("trainable_mib") and all("fit_seconds" in each for each in facts):
        costs["train_hours"] = mean(each["fit_seconds"] for each in facts) / 3600
    return costs


def cost_comparison(recipes: Mapping[str, Recipe | None], paper: Sequence[PaperRow]) -> pd.DataFrame:
    """The costs that the paper gives, each beside ours by the recipe of the row's name; empty where it gives none."""
    rows = [row for row in paper if row.costs]
    keys = [key for key in COSTS if any(key in row.costs for row in rows)]
    lines = []
    for row in rows:
        recipe = recipes[row.name]
        ours: Mapping[str, Any] = measured_costs(recipe, row.variant) if recipe else {}
        missing = NOTHING if recipe else "missing"
        cells = [(_cell(row.costs.get(key)), _cell(ours.get(key), missing)) for key in keys]
        lines.append([row.name, *(cell for pair in cells for cell in pair)])
    heads = ["method", *(f"{COSTS[key]}, {whose}" for key in keys for whose in ("paper", "ours"))]
    return pd.DataFrame(lines, columns=heads)


def _cell(value: float | None, missing: str = NOTHING) -> str:
    return missing if value is None else f"{value:.1f}" if value >= 1 else f"{value:.2g}"
