"""What a multirun prints at its end; conf/hydra/default.yaml selects it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SweepEnd(Callback):
    """Sets the runs of a finished multirun beside the table of the paper that its experiment names."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Prints the table, or how to make a report where the experiment names none."""
        from hqsam_lightning.report import print_beside_paper

        folder = Path(config.hydra.sweep.dir)
        if config.get("paper_table") is not None:
            print_beside_paper([folder], config.paper_table)
        print(f"all runs in one report: python -m hqsam_lightning.report 'runs=[{folder}]' out={folder / 'report'}")
