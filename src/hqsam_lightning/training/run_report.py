"""The end of a run: results first, then what may fail."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
from omegaconf import DictConfig

from hqsam_lightning.config import as_plain
from hqsam_lightning.reporting.results import (
    best_entry,
    describe_best,
    differs,
    print_results,
    result_rows,
    write_results,
    write_tables,
)
from hqsam_lightning.reporting.run_facts import parameter_counts
from hqsam_lightning.runtime.decoration import decoration
from hqsam_lightning.training.callbacks.best_checkpoint import BestCheckpoint
from hqsam_lightning.training.callbacks.panels import ImagePanels, save_panels
from hqsam_lightning.training.loggers import log_results
from hqsam_lightning.training.module import HQSamModule

log = logging.getLogger(__name__)

PICTURE = "results.png"


def report_run(
    config: DictConfig, trainer: L.Trainer, module: HQSamModule, callbacks: Sequence[L.Callback], facts: dict[str, Any]
) -> list[dict[str, Any]]:
    """Writes and prints a run's results.

    Args:
        config: the run's.
        trainer: that ran it.
        module: that was trained; its scores are of the last weights.
        callbacks: of the run, for its pictures and its best checkpoint.
        facts: of the run.

    Returns:
        The rows of the result table.

    Raises:
        StorageError: the results cannot be written.
    """
    parameters = parameter_counts(module)
    rows = result_rows(module.scores, parameters)
    if not trainer.is_global_zero:
        return rows
    folder = Path(config.paths.output_dir)
    scored = next((callback.scores() for callback in callbacks if isinstance(callback, BestCheckpoint)), None)
    best = best_entry(scored, parameters) if scored else None
    write_results(folder, rows, module.scores, facts, as_plain(config), None, best)
    with decoration(f"{PICTURE}, the picture of the panels,"):
        _draw(folder, rows, facts, best, callbacks)
    with decoration("the table of results in the loggers"):
        log_results(trainer.loggers, rows)
    _print(rows, best, facts)
    print(f"results in {folder}")
    return rows


def _draw(
    folder: Path,
    rows: list[dict[str, Any]],
    facts: dict[str, Any],
    best: dict[str, Any] | None,
    callbacks: Sequence[L.Callback],
) -> None:
    panels = [panel for callback in callbacks if isinstance(callback, ImagePanels) for panel in callback.panels]
    if panels:
        save_panels(panels, folder / PICTURE)
        write_tables(folder, rows, facts, PICTURE, best)


def _print(rows: list[dict[str, Any]], best: dict[str, Any] | None, facts: dict[str, Any]) -> None:
    if not rows:
        log.warning("no validation set: nothing was scored; see data.val_sources and data.holdout")
        return
    if best is None:
        print_results(rows)
        return
    if differs(best, facts):
        print_results(best["rows"], note=", best.ckpt")
        print_results(rows, note=", last weights")
    else:
        print_results(rows)
    print(describe_best(best, facts["steps"]))
