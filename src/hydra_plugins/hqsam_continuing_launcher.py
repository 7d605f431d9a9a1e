"""Where Hydra looks for plugins: the launcher of `hydra/launcher=continuing`, which conf/hydra/default.yaml selects."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn


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
        from hqsam_lightning.config import conf_dir
        from hqsam_lightning.overrides import replace_mappings
        from hqsam_lightning.runtime.interruption import describe_error, interruption_status, is_finished

        # of a search, or of a sweep in a YAML file
        job_overrides = [replace_mappings(overrides, conf_dir()) for overrides in job_overrides]
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
