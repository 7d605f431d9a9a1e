"""What a search is given, checked: objectives, and what the sweeps of Hydra's override grammar span."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from hqsam_lightning.errors import ConfigError, choice_error

if TYPE_CHECKING:
    import optuna


def checked_objectives(objectives: Any) -> list[str]:
    """The objectives of a search.

    Raises:
        ConfigError: they are not different names.
    """
    names = list(objectives) if isinstance(objectives, Sequence) and not isinstance(objectives, str) else []
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ConfigError(
            "hydra.sweeper.objectives: expected names of metrics, each once, e.g. [boundary_iou]; got "
            f"{objectives or 'none'}"
        )
    return names


def judged_variant(config: Mapping[str, Any], objectives: Sequence[str]) -> str:
    """The variant whose scores a search maximises: the one that is named, or the only one.

    Args:
        config: of a trial, as plain values.
        objectives: names of metrics.

    Raises:
        ConfigError: a metric is none of the run's; or the run trains several variants and none is named.
    """
    for name in objectives:
        if name not in config["metrics"]:
            raise choice_error("hydra.sweeper.objectives", name, sorted(config["metrics"]))
    variants, judged = list(config["variants"]), config["evaluation"]["variant"]
    if judged is None and len(variants) == 1:
        return str(variants[0])
    if judged not in variants:
        raise choice_error("evaluation.variant", judged, variants)
    return str(judged)


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
