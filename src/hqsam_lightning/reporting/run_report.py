"""The end of a run: results first, then what may fail."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import lightning as L

from hqsam_lightning.reporting.results import (
    Results,
    describe_best,
    describe_choices,
    print_results,
    write_results,
    write_tables,
)
from hqsam_lightning.runtime.decoration import decoration
from hqsam_lightning.training.callbacks.panels import ImagePanels, save_panels
from hqsam_lightning.training.loggers import log_results

log = logging.getLogger(__name__)

PICTURE = "results.png"


def report_run(folder: Path, results: Results, trainer: L.Trainer, callbacks: Sequence[L.Callback]) -> None:
    """Writes, draws (the pictures of its callbacks), logs and prints a run's results, in the first process.

    Raises:
        StorageError: the results cannot be written.
    """
    if not trainer.is_global_zero:
        return
    write_results(folder, results)
    with decoration(f"{PICTURE}, the picture of the panels,"):
        panels = [panel for callback in callbacks if isinstance(callback, ImagePanels) for panel in callback.panels]
        if panels:
            save_panels(panels, folder / PICTURE)
            write_tables(folder, results, PICTURE)
    with decoration("the table of results in the loggers"):
        log_results(trainer.loggers, results.means)
    if results.table.empty:
        log.warning("no validation set: nothing was scored; see data.val_sources and data.holdout")
    print_results(results)
    print("\n".join([*describe_best(results), *describe_choices(results), f"results in {folder}"]))
