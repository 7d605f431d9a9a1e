"""Builds an `HQSam` from a name, a run, a folder, a file, or a repository of the Hugging Face Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple, cast

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from hqsam_lightning.config import as_plain, conf_dir, own_errors
from hqsam_lightning.errors import CheckpointError, ConfigError, WeightsError, choice_error
from hqsam_lightning.evaluation.table import BASELINE
from hqsam_lightning.heads import Head
from hqsam_lightning.heads.official import from_official
from hqsam_lightning.inference.folder import CONFIG_FILE, WEIGHTS_FILE, fill_head, read_folder
from hqsam_lightning.inference.hub import download_file, download_folder
from hqsam_lightning.inference.model import HQSam, Origin
from hqsam_lightning.inference.transformers_folder import is_transformers_folder, vit_config_of
from hqsam_lightning.inference.whole_file import fill_from, read_description
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.sam.state_dicts import SUFFIXES, read_state_dict
from hqsam_lightning.storage.files import read_json
from hqsam_lightning.training.weights import OFFICIAL_VARIANT, OWN_SUFFIX, SEPARATOR, build_head, open_weights

METRICS_FILE = "metrics.json"
FULL_HEAD_CONFIG = {"_target_": "hqsam_lightning.heads.HQHead"}
OFFICIAL_REPOSITORY = "lkeab/hq-sam"
"""Of HQ-SAM's authors, https://huggingface.co/lkeab/hq-sam."""
OFFICIAL = {
    "hq_vit_b": ("vit_b", "sam_hq_vit_b.pth"),
    "hq_vit_l": ("vit_l", "sam_hq_vit_l.pth"),
    "hq_vit_h": ("vit_h", "sam_hq_vit_h.pth"),
    "hq_vit_tiny": ("vit_tiny", "sam_hq_vit_tiny.pth"),
}
SHIPPED = {name: Path(__file__).parent / "shipped" / name for name in ("hq_nano", "hq_nano_vit")}
"""Heads that the package ships, as folders."""
PLAIN = ("nano", "nano_vit", "vit_tiny", "vit_b", "vit_l", "vit_h")
ENCODER_WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
"""SAM's config by the width of its ViT."""
TINY_VIT_EARLY = 160
"""Channels of the early feature of MobileSAM's TinyViT."""
CACHE_VARIABLE, DEFAULT_CACHE = "HQSAM_CACHE", "~/.cache/hqsam_lightning"
MOBILE_SAM = "image_encoder.layers."
"""What names in MobileSAM's own state dicts begin with."""
PATCHES = "image_encoder.patch_embed.proj.weight"
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class Options(NamedTuple):
    """What a caller may change of a model; None keeps what it says itself.

    Attributes:
        sam: name of the SAM's config, where a file does not tell.
        sam_weights: of SAM.
        precision: of the frozen encoder.
        output: see `HQSam`.
        cache_dir: of downloads.
        trusted: see `hqsam_lightning.inference.folder.read_folder`.
        revision: of a repository on the Hub.
    """

    sam: str | None = None
    sam_weights: str | Path | None = None
    precision: str | None = None
    output: str | None = None
    cache_dir: str | Path | None = None
    trusted: bool = False
    revision: str | None = None


def load(where: str | Path, options: Options) -> HQSam:
    """Builds a model, on the CPU; see `HQSam.from_pretrained`."""
    if options.output == BASELINE:
        return _load(where, options._replace(output=None)).plain()
    return _load(where, options)


def _load(where: str | Path, options: Options) -> HQSam:
    text = str(where)
    path = Path(text.partition(SEPARATOR)[0]).expanduser()
    with own_errors():
        if path.exists() or path.suffix in (*SUFFIXES, OWN_SUFFIX):
            return _load_path(text, path, options)
        if text in OFFICIAL:
            sam, file = OFFICIAL[text]
            local = download_file(OFFICIAL_REPOSITORY, file, options.revision, options.cache_dir)
            return _load_path(str(local), local, options._replace(sam=options.sam or sam))
        if text in SHIPPED:
            return _load_folder(SHIPPED[text], options)
        if text in PLAIN:
            return _plain(options._replace(sam=text))
        if REPOSITORY.fullmatch(text):
            local = download_folder(text, options.revision, options.cache_dir)
            return _load_folder(local, options)
    known = ", ".join([*PLAIN, *SHIPPED, *OFFICIAL])
    raise ConfigError(
        f"from_pretrained: expected one of {known}, the folder of a model or run, a file "
        f"({', '.join((*SUFFIXES, OWN_SUFFIX))}), or a repository ORG/NAME of the Hub; got {text!r}, which is none"
    )


def _load_path(text: str, path: Path, options: Options) -> HQSam:
    if (path / CONFIG_FILE).is_file():
        return _load_folder(path, options)
    if path.is_dir() or path.suffix == OWN_SUFFIX:
        return _load_run(text, options)
    content = read_state_dict(path, "from_pretrained")
    described = read_description(path, options.trusted)
    if described is not None:
        return _load_whole(path, content, described, options)
    if from_official(content):
        return _load_official(path, content, options)
    return _plain(options._replace(sam=options.sam or architecture_of(path, content), sam_weights=path))


def _load_folder(folder: Path, options: Options) -> HQSam:
    if is_transformers_folder(folder):
        return _load_transformers(folder / WEIGHTS_FILE, options)
    config, tensors = read_folder(folder, options.trusted)
    described = config["sam"]
    sam_config = {**described["config"], **_changes(options)}
    if sam_config["weights"] == "file":
        raise ConfigError(
            f"{folder / CONFIG_FILE}: its SAM, {described['name']}, was a file of weights; expected "
            "sam_weights=FILE, the one that the head was trained with"
        )
    sam = _build_described(sam_config, described, folder)
    head = build_head(config["head"], sam, seed=0)
    fill_head(head, tensors, folder / WEIGHTS_FILE)
    origin = Origin(sam_config, config["head"], config["facts"])
    return HQSam(sam, head, options.output or config["output"], origin)


def _load_whole(path: Path, content: dict[str, Tensor], config: Mapping[str, Any], options: Options) -> HQSam:
    sam_config = {**config["sam"]["config"], **_changes(options._replace(sam_weights=options.sam_weights or path))}
    sam = _build_described(sam_config, config["sam"], path)
    head = None if config["head"] is None else build_head(config["head"], sam, seed=0)
    if head is not None:
        fill_from(head, content, path, sam)
    origin = Origin(sam_config, config["head"], config["facts"])
    return HQSam(sam, head, options.output or config["output"], origin)


def _load_transformers(path: Path, options: Options) -> HQSam:
    content = read_state_dict(path, "from_pretrained")
    if options.sam is None:
        width = len(content[PATCHES]) if PATCHES in content else 0
        sam_config = vit_config_of(content, ENCODER_WIDTHS.get(width, "vit"), path)
    else:
        sam_config = sam_config_of(options.sam)
    if from_official(content):
        return _load_official(path, content, options, sam_config)
    sam_config = {**sam_config, **_changes(options._replace(sam_weights=options.sam_weights or path))}
    return HQSam(build_sam_of(sam_config), output=options.output, origin=Origin(sam_config))


def _load_run(text: str, options: Options) -> HQSam:
    weights, variant = open_weights(text, "from_pretrained")
    assert weights.config is not None
    if variant is None and len(weights.variants) > 1:
        raise choice_error(f"from_pretrained={text}{SEPARATOR}VARIANT", "no variant", weights.variants)
    variant = variant or weights.variants[0]
    run = weights.config
    sam_config = {**run["sam"], **_changes(options)}
    sam = build_sam_of(sam_config)
    head = weights.build(variant, sam)
    head_config = {name: value for name, value in run["variants"][variant].items() if name != "weights"}
    origin = Origin(sam_config, head_config, facts_of_run(weights.path, variant))
    output = options.output or weights.chosen_output(variant) or _output_of(run, head)
    # the masks of SAM's token beside an HQ token are not quite plain SAM's
    return HQSam(sam, origin=Origin(sam_config)) if output == BASELINE else HQSam(sam, head, output, origin)


def _load_official(
    path: Path, content: Mapping[str, Tensor], options: Options, sam: Mapping[str, Any] | None = None
) -> HQSam:
    """Builds a model of an official file; None finds the config of its SAM by its sizes."""
    weights, _ = open_weights(str(path), "from_pretrained")
    if weights.holds_sam and options.sam_weights is None:
        options = options._replace(sam_weights=path)
    sam_config = {**(sam or sam_config_of(options.sam or architecture_of(path, content))), **_changes(options)}
    built = build_sam_of(sam_config)
    return HQSam(built, weights.build(OFFICIAL_VARIANT, built), options.output, Origin(sam_config, FULL_HEAD_CONFIG))


def _plain(options: Options) -> HQSam:
    sam_config = {**sam_config_of(cast(str, options.sam)), **_changes(options)}
    return HQSam(build_sam_of(sam_config), output=options.output, origin=Origin(sam_config))


def architecture_of(path: Path, content: Mapping[str, Tensor]) -> str:
    """Name of the config of the SAM that a state dict is of, or that an HQ head in it was trained with.

    Raises:
        ConfigError: its sizes are none of the published ones.
    """
    early = from_official(content).get("fusion.early.0.weight")
    width = len(content[PATCHES]) if PATCHES in content else 0 if early is None else len(early)
    if width in ENCODER_WIDTHS:
        return ENCODER_WIDTHS[width]
    if width == TINY_VIT_EARLY or any(name.startswith(MOBILE_SAM) for name in content):
        return "vit_tiny"
    known = ", ".join(f"{name} ({width})" for width, name in ENCODER_WIDTHS.items())
    raise ConfigError(
        f"{path}: expected the weights of a SAM by its encoder's width, {known}, or of MobileSAM; got "
        f"{width or 'none'}; choose it with sam=NAME"
    )


def sam_config_of(name: str) -> dict[str, Any]:
    """The config of a SAM of conf/sam, as plain values.

    Raises:
        ConfigError: there is none of this name.
    """
    names = sorted(path.stem for path in (Path(conf_dir()) / "sam").glob("*.yaml"))
    if name not in names:
        raise choice_error("sam", name, names)
    inside_a_command = GlobalHydra.instance().is_initialized()
    with nullcontext() if inside_a_command else initialize_config_dir(conf_dir(), version_base="1.3"):
        return as_plain(compose("train", overrides=[f"sam={name}", "paths.output_dir=unused"]).sam)


def facts_of_run(path: Path, variant: str) -> dict[str, Any]:
    """What metrics.json of a run says of a variant; empty where the run is not finished or not there."""
    inside = next((parent.parent for parent in path.resolve().parents if parent.name == "checkpoints"), path)
    file = inside / METRICS_FILE
    if not file.is_file():
        return {}
    metrics = read_json(file, CheckpointError, "give the folder of a finished run")
    chosen = {"run": metrics["run"], "metrics": metrics["metrics"]}
    of_variant = [row for row in metrics["scores"] if row["variant"] in (variant, "sam")]
    differences = [row for row in metrics["differences"] if row["variant"] == variant]
    best = metrics["best"].get(variant, {})
    return {**chosen, "scores": best.get("scores", of_variant), "differences": differences, "variant": variant}


def _changes(options: Options) -> dict[str, Any]:
    """What the caller chose of SAM's config."""
    cache_dir = options.cache_dir or os.environ.get(CACHE_VARIABLE, DEFAULT_CACHE)
    chosen = {"weights": options.sam_weights, "precision": options.precision, "cache_dir": cache_dir}
    return {name: str(value) for name, value in chosen.items() if value is not None}


def _build_described(config: Mapping[str, Any], described: Mapping[str, Any], where: Path) -> FrozenSam:
    """Builds the SAM of a model that was saved, and compares its fingerprint."""
    sam = build_sam_of(config)
    if sam.weights_sha256 != described["sha256"]:
        raise WeightsError(
            f"{where}: expected the SAM that the head was trained with, {described['name']} with SHA-256 "
            f"{described['sha256'][:12]}; got {sam.name} with {sam.weights_sha256[:12]}; pass sam_weights=FILE"
        )
    return sam


def build_sam_of(config: Mapping[str, Any]) -> FrozenSam:
    """Builds a SAM from its config, as plain values with ``_target_``."""
    return cast(FrozenSam, instantiate(OmegaConf.create(dict(config))))


def _output_of(run: Mapping[str, Any], head: Head) -> str | None:
    """The logits that the run's best checkpoint was chosen by, where the head has them."""
    output = run["evaluation"]["output"]
    return output if output in head.outputs else None


def _registered(name: str) -> Callable[..., HQSam]:
    def build(checkpoint: str | Path | None = None) -> HQSam:
        if checkpoint is None:
            return load(name, Options(sam_weights="random"))
        return load(checkpoint, Options(sam=name))

    build.__doc__ = f"Builds {name} from a file of plain SAM or HQ-SAM; None gives it random weights."
    return build


sam_model_registry: dict[str, Callable[..., HQSam]] = {
    "default": _registered("vit_h"),
    **{name: _registered(name) for name in PLAIN},
}
"""As in segment-anything: `sam_model_registry["vit_b"](checkpoint=FILE)`."""
