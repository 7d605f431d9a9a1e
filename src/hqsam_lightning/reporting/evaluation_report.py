"""The end of an evaluation: its results, written and printed as a run's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from hqsam_lightning.evaluation.running import Evaluation
from hqsam_lightning.reporting.metric_facts import facts_of
from hqsam_lightning.reporting.results import Results, print_results, write_results
from hqsam_lightning.run_names import command_facts
from hqsam_lightning.runtime.code_facts import version_facts
from hqsam_lightning.training.run_facts import parameter_counts, total_parameter_counts


def report_evaluation(
    folder: Path, config: DictConfig, evaluation: Evaluation, table: pd.DataFrame, checkpoints: Sequence[str]
) -> None:
    """Writes scores.csv, results.md and metrics.json of the checkpoints' evaluation, and prints the tables.

    Raises:
        StorageError: the results cannot be written.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True)
    metrics = next(iter(evaluation.settings.values())).scorer.metrics
    results = Results(table, facts_of(metrics), _facts(plain, evaluation, table, checkpoints), plain)
    write_results(folder, results)
    print_results(results)
    print(f"results in {folder}")


def _facts(
    config: Mapping[str, Any], evaluation: Evaluation, table: pd.DataFrame, checkpoints: Sequence[str]
) -> dict[str, Any]:
    """Facts as plain values, in the order a report shows them."""
    images = table.drop_duplicates(["dataset", "sample"]).groupby("dataset", sort=False).size()
    return {
        "name": config["name"],
        **command_facts("hqsam_lightning.evaluate"),
        "seed": config["seed"],
        "checkpoints": ", ".join(checkpoints) or "none, plain SAM",
        "sam": evaluation.sam.name,
        "sam_weights": config["sam"]["weights"],
        "sam_sha256": evaluation.sam.weights_sha256,
        "output": config["evaluation"]["output"],
        "protocols": ", ".join(config["protocols"]),
        "data": "; ".join(f"{name} {count} images" for name, count in images.items()),
        "trainable_parameters": parameter_counts(evaluation),
        "total_parameters": total_parameter_counts(evaluation),
        **version_facts(),
    }
