"""The end of an evaluation: its results, written and printed as a run's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hqsam_lightning.data.problems import listed
from hqsam_lightning.evaluation.running import Evaluation, Found, PassCost
from hqsam_lightning.evaluation.table import WHOLE_SET
from hqsam_lightning.reporting.metric_facts import facts_of
from hqsam_lightning.reporting.results import Results, print_results, write_results
from hqsam_lightning.run_names import command_facts
from hqsam_lightning.runtime.code_facts import version_facts
from hqsam_lightning.training.run_facts import parameter_counts, total_parameter_counts


def report_evaluation(
    folder: Path, config: DictConfig, evaluation: Evaluation, found: Found, checkpoints: Sequence[str]
) -> None:
    """Writes scores.csv, results.md and metrics.json of the checkpoints' evaluation, and prints the tables.

    Raises:
        StorageError: the results cannot be written.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True)
    metrics = evaluation.suite.metrics(next(iter(evaluation.settings.values())))
    results = Results(found.table, facts_of(metrics), _facts(plain, evaluation, found, checkpoints), plain)
    write_results(folder, results)
    print_results(results)
    print(f"results in {folder}")


def _facts(
    config: Mapping[str, Any], evaluation: Evaluation, found: Found, checkpoints: Sequence[str]
) -> dict[str, Any]:
    """Facts as plain values, in the order a report shows them."""
    model = evaluation.model
    return {
        "name": config["name"],
        **command_facts("hqsam_lightning.evaluate"),
        "seed": config["seed"],
        "checkpoints": ", ".join(checkpoints) or "none, plain SAM",
        "sam": model.sam.name,
        "sam_weights": config["sam"]["weights"],
        "sam_sha256": model.sam.weights_sha256,
        "output": config["evaluation"]["output"],
        "frames": {name: _cost(cost) for name, cost in found.costs.items()},
        "data": _data(found),
        **({"left_out": left_out} if (left_out := _left_out(evaluation, found)) else {}),
        "trainable_parameters": parameter_counts(model),
        "total_parameters": total_parameter_counts(model),
        **version_facts(),
    }


def _cost(cost: PassCost) -> dict[str, float]:
    """What a pass took for each photo, or clip."""
    photos = max(1, cost.photos)
    return {"encoded_per_photo": cost.encoded / photos, "seconds_per_photo": cost.seconds / photos}


def _data(found: Found) -> str:
    """How many images there are, by set where masks are scored one by one."""
    masks = found.table[found.table["sample"] != WHOLE_SET]
    images = masks.drop_duplicates(["dataset", "sample"]).groupby("dataset", sort=False).size()
    by_set = "; ".join(f"{name} {count} images" for name, count in images.items())
    return by_set or f"{found.images - len(found.unreadable)} images"


def _left_out(evaluation: Evaluation, found: Found) -> str:
    """What was not used, and why, in one line."""
    unreadable = [f"{len(found.unreadable)} of {found.images} images: {listed(found.unreadable)}"]
    return "; ".join([*(unreadable if found.unreadable else []), *evaluation.suite.left_out()])
