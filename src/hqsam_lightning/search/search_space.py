"""What a search is given: directions of its objectives, and what the sweeps of Hydra's override grammar span."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.utils import instantiate
from omegaconf import OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hqsam_lightning.errors import ConfigError, choice_error
from hqsam_lightning.search.study import Direction


def directions_of(config: Mapping[str, Any], objectives: Sequence[str]) -> dict[str, Direction]:
    """Whether to "maximize" or "minimize" each objective.

    Args:
        config: of a trial, as plain values.
        objectives: names of metrics.

    Raises:
        ConfigError: a metric is none of the run's.
    """
    directions: dict[str, Direction] = {}
    whole = OmegaConf.create(dict(config))
    for name in objectives:
        if name not in whole.metrics:
            raise choice_error("hydra.sweeper.objectives", name, sorted(config["metrics"]))
        directions[name] = "maximize" if instantiate(whole.metrics[name]).greater_is_better else "minimize"
    return directions


def judged_variant(config: Mapping[str, Any]) -> str:
    """The variant whose scores a search goes by: the one that is named, or the only one.

    Args:
        config: of a trial, as plain values.

    Raises:
        ConfigError: the run trains several variants and none is named.
    """
    variants, judged = list(config["variants"]), config["evaluation"]["variant"]
    if judged is None and len(variants) == 1:
        return str(variants[0])
    if judged not in variants:
        raise choice_error("evaluation.variant", judged, variants)
    return str(judged)


def distribution_of(override: Override) -> BaseDistribution:
    """What a sweep of Hydra's override grammar spans: choice, range, or interval; tags "log" and "int".

    Raises:
        ConfigError: naming the key whose sweep cannot be searched.
    """
    try:
        return _spanned(override)
    except (ValueError, TypeError, OverflowError) as error:
        key = override.get_key_element()
        raise ConfigError(f"hydra.sweeper.params.{key}: {error}; got {override.input_line}") from error


def _spanned(override: Override) -> BaseDistribution:
    value = override.value()
    if isinstance(value, IntervalSweep):
        assert value.start is not None
        assert value.end is not None
        if not (math.isfinite(value.start) and math.isfinite(value.end)):
            raise ValueError("expected an interval with finite ends")
        if "int" in value.tags:
            return IntDistribution(int(value.start), int(value.end), log="log" in value.tags)
        return FloatDistribution(value.start, value.end, log="log" in value.tags)
    if isinstance(value, RangeSweep):
        return CategoricalDistribution(list(value.range()))
    if isinstance(value, ChoiceSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    raise ValueError("expected choice, range, or interval")
