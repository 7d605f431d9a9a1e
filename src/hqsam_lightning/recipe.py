"""The one definition of "the same run": what of a config, of the data and of the weights its results follow from.

A key counts unless it is listed here, so that the arguments of a head, a loss or data of one's own count by themselves.
Paths never do (`hqsam_lightning.schema.paths` knows which keys hold one, and a value in the run's folder is one): what
lies there counts, as the fingerprint of the data and the SHA-256 of the weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hqsam_lightning.data.fingerprint import changes
from hqsam_lightning.schema.keys import first_pattern, matches
from hqsam_lightning.schema.paths import path_keys

NAMES = (
    *("name", "setting", "paper_table", "sweeps", "hydra", "logger", "metrics.*.label"),
    *(f"data.**.catalogue.*.{key}" for key in ("title", "paper", "license", "terms", "note", "expected")),
)
"""What a run and its data are called, and what the run logs."""
WATCHING = (
    *(f"hqsam_lightning.training.callbacks.{name}.*" for name in ("progress", "panels", "attention_panels")),
    *(f"hqsam_lightning.training.callbacks.{name}.*" for name in ("last_checkpoint", "inference_speed")),
    *("hqsam_lightning.search.pruning.OptunaPruning", "lightning.pytorch.callbacks.*Monitor"),
    *("lightning.pytorch.callbacks.*ProgressBar", "lightning.pytorch.callbacks.ModelCheckpoint"),
)
"""Callbacks, by their ``_target_``, that only show, log and save; any other may change results."""
PROCESS = (
    *("ckpt_path", "resume", "only_validate", "paths", "loader", "process", "data.**.check", "data.**.allow_missing"),
    *("data.**.strict", "batch.max_per_device", "sequential_backward"),
    *("sam.attention", "sam.published", "sam.embedded"),
    *("trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.plugins"),
    *("trainer.deterministic", "trainer.benchmark", "trainer.profiler", "trainer.detect_anomaly"),
    *("trainer.inference_mode", "trainer.log_every_n_steps", "trainer.enable_*", "trainer.num_sanity_val_steps"),
)
"""Where and how fast a run is computed."""
AFTER_STEPS = (
    *("evaluation", "metrics", "val_prompts", "frame", "margin", "start_share", "callbacks"),
    *("trainer.max_epochs", "trainer.min_epochs", "trainer.max_steps", "trainer.min_steps", "trainer.max_time"),
    *("trainer.limit_val_batches", "trainer.val_check_interval", "trainer.check_val_every_n_epoch"),
)
"""How long a run trains and what it scores: its results differ by them, its steps do not."""
FEATURES = ("seed", "augmentation", "sam")
"""What the features of a training image's views follow from."""
BEGINNING = "variants.{}.weights"
"""What a variant begins from: a path, which counts as it is written where the content is not known."""
DATA = "data.fingerprint"
SAM = "sam.sha256"


def recipe_of(
    config: Mapping[str, Any],
    sam_sha256: str | None = None,
    data: Mapping[str, Any] | str | None = None,
    begun_from: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a run's results follow from, by dotted key; runs with equal ones are the same run.

    Args:
        config: resolved, as plain values.
        sam_sha256: fingerprint of the frozen SAM's weights, which stands for their path.
        data: `hqsam_lightning.data.fingerprint.fingerprint` of what is trained and validated on, or its SHA-256.
        begun_from: SHA-256 of the weights that variants began from, by name, which stand for their paths.
    """
    known = {SAM: sam_sha256, DATA: data}
    known |= {BEGINNING.format(name): sha256 for name, sha256 in (begun_from or {}).items()}
    places = {key for key in path_keys(config) if not is_under(key, ("sam.weights", BEGINNING.format("*")))}
    values = flatten(config)
    places |= {key for key, value in values.items() if _is_inside(value, values.get("paths.output_dir"))}
    targets = {key: str(value) for key, value in values.items() if matches("callbacks.*._target_", key)}
    watching = [key.removesuffix("._target_") for key, target in targets.items() if is_under(target, WATCHING)]
    ignored = (*NAMES, *PROCESS, *watching, *(("sam.weights",) if sam_sha256 else ()))
    recipe = {key: value for key, value in values.items() if key not in places and not is_under(key, ignored)}
    return recipe | {key: value for key, value in known.items() if value is not None}


def features_of(config: Mapping[str, Any], sam_sha256: str) -> dict[str, Any]:
    """What the features of a view of an image follow from, besides the image itself.

    Args:
        config: resolved, as plain values.
        sam_sha256: fingerprint of the frozen SAM's weights.
    """
    return {key: value for key, value in recipe_of(config, sam_sha256).items() if is_under(key, FEATURES)}


def without(recipe: Mapping[str, Any], patterns: Iterable[str]) -> dict[str, Any]:
    """A recipe but for some keys, each with all below it: ``("seed",)`` gives what seeds of a recipe have in common."""
    left_out = tuple(patterns)
    return {key: value for key, value in recipe.items() if not is_under(key, left_out)}


def steps_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What the steps of training follow from: a run can be resumed with another length, and scored otherwise."""
    return without(recipe, AFTER_STEPS)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Describes each key in which two recipes differ, with both values; empty where they are the same."""
    found = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if key == DATA and isinstance(old, Mapping) and isinstance(new, Mapping):
            found += changes(old, new)
        else:
            found.append(f"{key}: {old} before, {new} now")
    return found


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    if not isinstance(values, Mapping):
        return {prefix: values}
    return {
        key: value
        for name, inner in values.items()
        for key, value in flatten(inner, f"{prefix}.{name}" if prefix else str(name)).items()
    }


def _is_inside(value: Any, folder: Any) -> bool:
    """Whether a value is the path of something in the run's own folder, whatever the type of its key."""
    return isinstance(value, str) and isinstance(folder, str) and f"{value}/".startswith(f"{folder}/")


def is_under(key: str, patterns: Iterable[str]) -> bool:
    """Whether a dotted key is of one of the patterns, or below one that is."""
    own_and_below = tuple(each for pattern in patterns for each in (pattern, f"{pattern}.**.*"))
    return first_pattern(own_and_below, key) is not None
