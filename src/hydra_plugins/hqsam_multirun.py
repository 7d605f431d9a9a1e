"""Where Hydra looks for plugins: how a multirun takes its sweep, runs its trials, and ends; and searches with Optuna.

conf/hydra/ selects them. Hydra imports this at every start, also where there is no sweep: hence imports in functions.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf


class GridSweeper(BasicSweeper):
    """Hydra's own sweeper, but that mappings among its `params` replace the config's, as on the command line."""

    def _parse_config(self) -> list[str]:
        from hqsam_lightning.config import conf_dir
        from hqsam_lightning.overrides import replace_mappings

        return replace_mappings(super()._parse_config(), conf_dir())


class OptunaSweeper(GridSweeper):
    """Runs `hqsam_lightning.search.searcher.Search` as a Hydra sweep; arguments are those of `Search`.

    The published hydra-optuna-sweeper needs an Optuna before version 3, cannot prune, and counts its trials anew when
    it resumes.
    """

    def __init__(
        self,
        study: str,
        name: str,
        n_trials: int,
        objectives: Sequence[str],
        seed: int,
        params: Mapping[str, Any],
        prune_after: int | None = None,
    ) -> None:
        super().__init__(max_batch_size=None, params=cast(dict[str, str], params))
        self.settings: dict[str, Any] = {
            "study": study,
            "name": name,
            "n_trials": n_trials,
            "objectives": objectives,
            "seed": seed,
            "prune_after": prune_after,
        }

    def sweep(self, arguments: list[str]) -> list[Any]:
        """Runs the trials that the study lacks; ends with status 1 where some failed, or the search cannot be run.

        Args:
            arguments: overrides of the command line; they lie over `params`.
        """
        from hqsam_lightning.errors import ConfigError, HQSamError

        assert self.launcher is not None
        assert self.config is not None
        try:
            if find_spec("optuna") is None:
                raise ConfigError(
                    "hydra/sweeper=optuna: expected the package optuna; pip install 'hqsam-lightning[optuna]'"
                )
            from hqsam_lightning.search.searcher import Search

            search = Search(**self.settings, overrides=self._parse(arguments), compose=self._compose)
            results = search.run(self.launcher)
        except HQSamError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        failures = search.describe_failures()
        if failures:
            print(f"{failures}\ntheir folders are in {self.config.hydra.sweep.dir}", file=sys.stderr)
            sys.exit(1)
        return results

    def _compose(self, overrides: list[str]) -> dict[str, Any]:
        """The config of a trial, without what is searched, as plain values that refer to each other."""
        assert self.hydra_context is not None
        assert self.config is not None
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        return cast(dict[str, Any], OmegaConf.to_container(config))

    def _parse(self, arguments: list[str]) -> list[Override]:
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import HydraException

        from hqsam_lightning.errors import ConfigError

        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        if not isinstance(self.params, Mapping):
            raise ConfigError(f"hydra.sweeper.params: expected a mapping of keys to sweeps; got {self.params!r}")
        overrides = []
        for text in self._parse_config():
            try:
                overrides.append(parser.parse_override(text))
            except HydraException as error:
                key, _, value = text.partition("=")
                raise ConfigError(
                    f"hydra.sweeper.params.{key}: expected a sweep in Hydra's grammar, e.g. 'choice(a, b)'; got "
                    f"{value!r} ({str(error).splitlines()[0]})"
                ) from error
        return [*overrides, *parser.parse_overrides(arguments)]


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
