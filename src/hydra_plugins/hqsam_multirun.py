"""Where Hydra looks for plugins: how a multirun takes its sweep, runs its trials, and ends.

conf/hydra/default.yaml selects all three.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class GridSweeper(BasicSweeper):
    """Hydra's own sweeper, but that mappings among its `params` replace the config's, as on the command line."""

    def _parse_config(self) -> list[str]:
        from hqsam_lightning.config import conf_dir
        from hqsam_lightning.overrides import replace_mappings

        return replace_mappings(super()._parse_config(), conf_dir())


class ContinuingLauncher(BasicLauncher):
    """Runs the trials of a multirun one after another, also those after one that fails, and sums up at the end.

    A trial that is finished in its folder already, since the same multirun was begun before, is not run again. Hydra's
    own launcher ends a multirun at the first trial that an error with a message, thus `sys.exit`, ends.
    """

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs the trials.

        Args:
            job_overrides: of each trial.
            initial_job_idx: number of the first one.

        Raises:
            SystemExit: with status 1 after the last trial where one failed; at once, with a signal's status, where a
                signal stopped one.
        """
        from hqsam_lightning.runtime.interruption import describe_error, interruption_status, is_finished

        if len(job_overrides) == 1:
            return super().launch(job_overrides, initial_job_idx)
        jobs: list[JobReturn] = []
        failed: list[str] = []
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            try:
                (job,) = super().launch([overrides], number)
                _ = job.return_value  # raises what the trial raised
                jobs.append(job)
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                status = interruption_status(error)
                if status is not None:
                    print(f"trial {number} was stopped; the ones after it were not begun", file=sys.stderr)
                    raise SystemExit(status) from error
                if is_finished(error):
                    print(f"trial {number} was finished before, and is not run again", file=sys.stderr)
                    continue
                if not isinstance(error, SystemExit):
                    traceback.print_exception(error)
                failed.append(f"  {number} ({' '.join(overrides)}): {describe_error(error)}")
        if failed:
            assert self.config is not None
            head = f"{len(failed)} of {len(job_overrides)} trials failed, in {self.config.hydra.sweep.dir}:"
            print("\n".join([head, *failed]), file=sys.stderr)
            sys.exit(1)
        return jobs


class SweepEnd(Callback):
    """Sets the runs of a finished multirun beside the table of the paper that its experiment names."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Prints the table, or how to make a report where the experiment names none."""
        from hqsam_lightning.report import print_beside_paper

        folder = Path(config.hydra.sweep.dir)
        if config.get("paper_table") is not None:
            print_beside_paper([folder], config.paper_table)
        print(f"all runs in one report: python -m hqsam_lightning.report 'runs=[{folder}]' out={folder / 'report'}")
