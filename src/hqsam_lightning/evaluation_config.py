"""The config of an evaluation, completed by what the checkpoints say of their runs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from hqsam_lightning.config import as_plain, conf_dir
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation.table import BASELINE
from hqsam_lightning.inference.folder import CONFIG_FILE, read_folder
from hqsam_lightning.inference.hub import download_file
from hqsam_lightning.inference.loading import OFFICIAL, OFFICIAL_REPOSITORY, SHIPPED
from hqsam_lightning.training.weights import OFFICIAL_VARIANT, LearnedWeights, open_weights

log = logging.getLogger(__name__)

ARCHITECTURES = {768: "vit_b", 1024: "vit_l", 1280: "vit_h", 160: "vit_tiny"}
"""SAM's config by the channels of its early feature."""
DEFAULT_SAM = "nano"


@dataclass(frozen=True)
class Trained:
    """Heads of one run or file that are evaluated.

    Attributes:
        weights: that hold them.
        names: what tables call each, by variant.
    """

    weights: LearnedWeights
    names: Mapping[str, str]


def complete(config: DictConfig) -> tuple[DictConfig, list[Trained]]:
    """Opens the checkpoints and fills in what the config leaves to them: SAM, metrics and evaluation.

    Args:
        config: composed from conf/evaluate.yaml.

    Returns:
        The whole config, and what is evaluated, in the order of ``ckpt``.

    Raises:
        HQSamError: a checkpoint cannot be read, or no SAM is known for it.
    """
    trained = _open_all(_as_list(config.ckpt), config.which, config.paths.cache_dir)
    runs = [each.weights.config for each in trained if each.weights.config is not None]
    given = as_plain(config)
    base = runs[0] if runs else _composed(_architecture(trained, given["sam"]))
    whole = OmegaConf.create(given)
    with open_dict(whole):
        whole.seed = base["seed"]
        whole.sam = _sam(base["sam"], given["sam"], trained)
        whole.metrics = {**_merged_metrics(runs or [base]), **given["metrics"]}
        whole.evaluation = {**base["evaluation"], **_chosen_output(trained), **given["evaluation"]}
    return whole, trained


def _chosen_output(trained: Sequence[Trained]) -> dict[str, str]:
    """The output by which results are shown, where the first run has chosen one; what each has chosen is logged."""
    chosen = [(name, each.weights.chosen_output(variant)) for each in trained for variant, name in each.names.items()]
    for name, output in chosen:
        if output is not None:
            log.info("%s: its run has chosen output=%s, which predict and demo take", name, output)
    shown = [output for _, output in chosen if output not in (None, BASELINE)]
    return {"output": shown[0]} if shown else {}


def _open_all(places: Sequence[str], which: str, cache_dir: str) -> list[Trained]:
    """Variants keep their names where one run is evaluated; otherwise they are called RUN/VARIANT."""
    seen: Counter[str] = Counter()
    trained = []
    for where in places:
        weights, variant = open_named(where, "ckpt", cache_dir, which)
        run = _name_of(weights.path)
        seen[run] += 1
        prefix = run if seen[run] == 1 else f"{run}_{seen[run]}"
        names = weights.variants if variant is None else [variant]
        trained.append(Trained(weights, {name: name if len(places) == 1 else f"{prefix}/{name}" for name in names}))
    return trained


def open_named(where: str, key: str, cache_dir: str, which: str = "best") -> tuple[LearnedWeights, str | None]:
    """Opens a name, a folder of `HQSam.save_pretrained`, a run or a file with trained heads.

    Args:
        where: of `SHIPPED`, of `OFFICIAL`, or see `open_weights`.
        key: see there.
        cache_dir: of downloads.
        which: see there.

    Returns:
        The heads, and the name of the one that is wanted; None where all are.

    Raises:
        HQSamError: there is none, or it cannot be read.
    """
    folder = SHIPPED.get(where, Path(where).expanduser())
    if (folder / CONFIG_FILE).is_file():
        return _open_folder(folder), None
    if where in OFFICIAL:
        where = str(download_file(OFFICIAL_REPOSITORY, OFFICIAL[where][1], None, cache_dir))
    return open_weights(where, key, which)


def _open_folder(folder: Path) -> LearnedWeights:
    """A saved head, with what a run of it would say."""
    saved, tensors = read_folder(folder, trusted=False)
    sam = saved["sam"]
    config = {**_composed(DEFAULT_SAM), "seed": 0, "sam": sam["config"], "variants": {OFFICIAL_VARIANT: saved["head"]}}
    info = {"sam": sam["name"], "sam_sha256": sam["sha256"]}
    return LearnedWeights(folder, {OFFICIAL_VARIANT: tensors}, config, {OFFICIAL_VARIANT: info})


def _name_of(path: Path) -> str:
    """The run's folder for one of its checkpoints, otherwise what the folder or file is called."""
    path = path.resolve()
    inside = next((parent.parent for parent in path.parents if parent.name == "checkpoints"), None)
    return inside.name if inside else path.name if path.is_dir() else path.stem


def _as_list(ckpt: Any) -> list[str]:
    if ckpt is None:
        return []
    found = list(ckpt) if isinstance(ckpt, ListConfig) else [ckpt]
    if not all(isinstance(each, str) and each for each in found):
        raise ConfigError(f"ckpt: expected a run, a file, a list of them, or null; got {ckpt}")
    return found


def _architecture(trained: Sequence[Trained], sam: Mapping[str, Any]) -> str:
    """The config of SAM where no run has one."""
    if "_target_" in sam or not trained:
        return DEFAULT_SAM
    first = trained[0].weights
    if first.early_dim not in ARCHITECTURES:
        known = ", ".join(f"{width} ({name})" for width, name in ARCHITECTURES.items())
        raise ConfigError(
            f"sam: expected the SAM that {first.path} belongs to; its early feature has {first.early_dim} channels, "
            f"which none has of {known}; choose it with sam=..."
        )
    return ARCHITECTURES[first.early_dim]


def _composed(sam: str) -> dict[str, Any]:
    """The sections that a training run would have."""
    inside_a_command = GlobalHydra.instance().is_initialized()
    with nullcontext() if inside_a_command else initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train", overrides=[f"sam={sam}", "paths.output_dir=unused"])
    return {"seed": config.seed, **{name: as_plain(config[name]) for name in ("sam", "metrics", "evaluation")}}


def _sam(base: Mapping[str, Any], given: Mapping[str, Any], trained: Sequence[Trained]) -> dict[str, Any]:
    """What the command line says of SAM, over the run's; a whole model of the authors' brings its own weights."""
    if "_target_" in given:
        sam, named = dict(given), given["weights"] not in ("published", "random")
    else:
        chosen = {key: value for key, value in given.items() if value is not None}
        sam = {**base, **chosen}
        named = "weights" in chosen or any(each.weights.config is not None for each in trained)
    whole = next((each.weights.path for each in trained if each.weights.holds_sam), None)
    if whole is not None and not named:
        sam["weights"] = str(whole)
    return sam


def _merged_metrics(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Those of all runs; a name has to mean the same in each."""
    merged: dict[str, Any] = {}
    for config in configs:
        for name, metric in config["metrics"].items():
            if merged.setdefault(name, metric) != metric:
                raise ConfigError(
                    f"metrics.{name}: expected the same in every run of ckpt; got {merged[name]} and {metric}; "
                    f"evaluate the runs one by one"
                )
    return merged
