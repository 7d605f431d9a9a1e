"""Where Hydra looks for plugins: the sweeper of `hydra/sweeper=optuna`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

from hydra.core.override_parser.types import Override
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class HQSamOptunaSweeper(Sweeper):
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
        self.study = study
        self.name = name
        self.n_trials = n_trials
        self.objectives = objectives
        self.seed = seed
        self.params = params
        self.prune_after = prune_after

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Prepares the launcher that runs the trials."""
        # not at the top: Hydra imports plugins at every start, also where there is no sweep
        from hydra.core.plugins import Plugins

        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Any]:
        """Runs the trials that the study lacks; ends with status 1 where some failed, or the search cannot be run.

        Args:
            arguments: overrides of the command line; they lie over `params`.
        """
        from hqsam_lightning.errors import HQSamError
        from hqsam_lightning.search.searcher import Search

        assert self.launcher is not None
        assert self.config is not None
        try:
            search = Search(
                self.study,
                self.name,
                self.n_trials,
                self.objectives,
                self.seed,
                self._parse(arguments),
                self._compose,
                self.prune_after,
            )
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

        from hqsam_lightning.config import conf_dir
        from hqsam_lightning.errors import ConfigError
        from hqsam_lightning.overrides import replace_mappings

        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        if not isinstance(self.params, Mapping):
            raise ConfigError(f"hydra.sweeper.params: expected a mapping of keys to sweeps; got {self.params!r}")
        overrides = []
        for text in replace_mappings([f"{key}={value}" for key, value in self.params.items()], conf_dir()):
            try:
                overrides.append(parser.parse_override(text))
            except HydraException as error:
                key, _, value = text.partition("=")
                raise ConfigError(
                    f"hydra.sweeper.params.{key}: expected a sweep in Hydra's grammar, e.g. 'choice(a, b)'; got "
                    f"{value!r} ({str(error).splitlines()[0]})"
                ) from error
        return [*overrides, *parser.parse_overrides(arguments)]
