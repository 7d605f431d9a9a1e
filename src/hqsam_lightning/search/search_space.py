"""What a search is given, checked: objectives, and what the sweeps of Hydra's override grammar span."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from hqsam_lightning.errors import ConfigError

if TYPE_CHECKING:
    import optuna


def checked_objectives(objectives: Any) -> list[str]:
    """The objectives of a search.

    Raises:
        ConfigError: they are not different names of metrics.
    """
    if not isinstance(objectives, Sequence) or isinstance(objectives, str) or not objectives:
        raise ConfigError(
            f"hydra.sweeper.objectives: expected at least one metric, e.g. [boundary_iou]; got {objectives or 'none'}"
        )
    for place, metric in enumerate(objectives):
        if not isinstance(metric, str) or metric in objectives[:place]:
            raise ConfigError(f"hydra.sweeper.objectives: expected names of metrics, each once; got {list(objectives)}")
    return list(objectives)


def distribution_of(override: Override) -> optuna.distributions.BaseDistribution:
    """What a sweep of Hydra's override grammar spans: choice, range, or interval; tags "log" and "int".

    Raises:
        ConfigError: naming the key whose sweep cannot be searched.
    """
    key = override.get_key_element()
    try:
        distribution = _spanned(override, key)
    except (ValueError, TypeError, OverflowError) as error:
        raise ConfigError(f"hydra.sweeper.params.{key}: {error}; got {override.input_line}") from error
    if distribution is None:
        raise ConfigError(f"hydra.sweeper.params.{key}: expected choice, range, or interval; got {override.input_line}")
    return distribution


def _spanned(override: Override, key: str) -> optuna.distributions.BaseDistribution | None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

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
        return CategoricalDistribution([text.removeprefix(f"{key}=") for text in override.sweep_string_iterator()])
    return None
