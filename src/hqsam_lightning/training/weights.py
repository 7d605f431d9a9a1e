"""What a run or a file has learned, whoever wrote it: built as heads, or put into heads that training begins from."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from hqsam_lightning.errors import CheckpointError, WeightsError, choice_error
from hqsam_lightning.heads import Head, HQHead
from hqsam_lightning.heads.official import from_official, put_official
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.sam.state_dicts import read_state_dict, state_dict_sha256
from hqsam_lightning.storage.files import content_sha256, file_sha256
from hqsam_lightning.training.checkpoint import INFO_KEY, check_checkpoint, read_checkpoint

log = logging.getLogger(__name__)

SEPARATOR = "::"
"""Stands between a run or file and the name of one of its variants."""
WHICH = ("best", "last")
OWN_SUFFIX = ".ckpt"
OFFICIAL_VARIANT = "hq"
WEIGHTS_KEY = "weights"
"""Of a variant's config: what it begins from. It is not an argument of the head, unless the head takes one."""


@dataclass(frozen=True)
class LearnedWeights:
    """Trained heads of one run or file.

    Attributes:
        path: the run's folder, or the file.
        states: weights of each head, by name.
        config: of the run that trained them, as plain values; None for an official file.
        infos: what the run's checkpoints say of each head.
        content: all tensors of an official file.
    """

    path: Path
    states: dict[str, dict[str, Tensor]]
    config: dict[str, Any] | None = None
    infos: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    content: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def variants(self) -> list[str]:
        """Names of the heads."""
        return list(self.states)

    @property
    def identity(self) -> dict[str, str]:
        """A fingerprint of each head's weights, by name."""
        return {name: state_dict_sha256(state) for name, state in self.states.items()}

    def chosen_output(self, variant: str) -> str | None:
        """The output that the run has chosen for a head, see `hqsam_lightning.evaluation.choosing`; None without."""
        return self.infos.get(variant, {}).get("output")

    @property
    def holds_sam(self) -> bool:
        """Whether an official file is a whole model, of which SAM can be taken too."""
        return any(name.startswith("image_encoder.") for name in self.content)

    @property
    def early_dim(self) -> int:
        """Channels of an official head's early feature, which tell SAM's architectures apart."""
        return len(self.states[OFFICIAL_VARIANT]["fusion.early.0.weight"])

    def build(self, variant: str, sam: FrozenSam) -> Head:
        """Builds a head with its weights; an `HQSamError` where it was trained with another SAM."""
        if self.config is None:
            head: Head = HQHead(sam)
        else:
            head = build_head(self.config["variants"][variant], sam, self.config["seed"])
        self.fill(head, variant, sam)
        return head

    def fill(self, head: Head, variant: str, sam: FrozenSam) -> None:
        """Gives a head of the same architecture the weights of a variant.

        Raises:
            HQSamError: they do not fit, or were trained with another SAM.
        """
        if self.config is None:
            put_official(head, self.content, self.path, sam)
            return
        checkpoint = {INFO_KEY: self.infos[variant], "state_dict": self.states[variant]}
        try:
            check_checkpoint(checkpoint, head.learned, sam.name, sam.weights_sha256)
        except CheckpointError as error:
            raise CheckpointError(f"{self.path}{SEPARATOR}{variant}: {error}") from error
        head.load_state_dict(self.states[variant], strict=False)


def _read_run(path: Path, files: list[Path]) -> LearnedWeights:
    """Reads the checkpoints of a run of `python -m hqsam_lightning.train`; heads are in the order of its config."""
    states: dict[str, dict[str, Tensor]] = {}
    infos: dict[str, dict[str, Any]] = {}
    config: dict[str, Any] = {}
    for file in files:
        checkpoint = read_checkpoint(file)
        config = checkpoint[INFO_KEY]["config"]
        keys = [key for key in checkpoint["state_dict"] if key.startswith("variants.")]
        if not keys or "variants" not in config:
            raise CheckpointError(f"{file}: expected a checkpoint of hqsam_lightning.train; it holds no variants")
        for key in keys:
            _, name, parameter = key.split(".", 2)
            states.setdefault(name, {})[parameter] = checkpoint["state_dict"][key]
            infos[name] = checkpoint[INFO_KEY]
    return LearnedWeights(path, {name: states[name] for name in config["variants"] if name in states}, config, infos)


def _read_official(path: Path, key: str) -> LearnedWeights:
    """Reads the HQ head of a whole model of the authors', or of the decoder that their training script saves."""
    content = read_state_dict(path, key)
    state = from_official(content)
    if not state:
        raise WeightsError(
            f"{key}={path}: expected a file with the parameters of an HQ head, found none in its {len(content)} "
            f"tensors; plain SAM is scored with ckpt=null sam.weights={path}"
        )
    return LearnedWeights(path, {OFFICIAL_VARIANT: state}, content=content)


def open_weights(where: str, key: str, which: str = "best") -> tuple[LearnedWeights, str | None]:
    """Opens a run or a file with trained heads.

    Args:
        where: the folder of a run, a ``.ckpt`` of one, or an official file; with ``::VARIANT`` behind it one head.
        key: config key that named it, for the messages.
        which: of a run's folder, its "best" checkpoint of each variant, or its "last".

    Returns:
        The heads, and the name of the one that is wanted; None where all are.

    Raises:
        HQSamError: there is no such run, file or variant, or it cannot be read.
    """
    place, _, variant = where.partition(SEPARATOR)
    path = Path(place).expanduser()
    if path.is_dir() or path.suffix == OWN_SUFFIX:
        weights = _read_run(path, _files_of(path, key, which) if path.is_dir() else [path])
    else:
        weights = _read_official(path, key)
    if variant and variant not in weights.variants:
        raise choice_error(f"{key}={place}{SEPARATOR}VARIANT", variant, weights.variants)
    return weights, variant or None


def _files_of(folder: Path, key: str, which: str) -> list[Path]:
    if which not in WHICH:
        raise choice_error("which", which, WHICH)
    checkpoints = folder / "checkpoints"
    files = sorted(checkpoints.glob("best/*.ckpt")) if which == "best" else [checkpoints / "last.ckpt"]
    if all(file.is_file() for file in files) and files:
        return files
    wanted = checkpoints / ("best/VARIANT.ckpt" if which == "best" else "last.ckpt")
    there = sorted(str(file.relative_to(folder)) for file in checkpoints.rglob("*.ckpt"))
    other = "set which=last, or " if key == "ckpt" and "checkpoints/last.ckpt" in there else ""
    raise CheckpointError(
        f"{key}={folder}: expected the folder of a run with {wanted}; found {', '.join(there) or 'no checkpoint'}; "
        f"{other}name one of its files"
    )


def build_head(config: Mapping[str, Any], sam: FrozenSam, seed: int) -> Head:
    """Builds a variant's head, with initial weights by the seed; what `WEIGHTS_KEY` names is for `begin_from`."""
    config = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    kept = [key for key in config if key != WEIGHTS_KEY or _takes_weights(config)]
    return cast(Head, instantiate(OmegaConf.masked_copy(config, cast(list[Any], kept)), sam=sam, seed=seed))


def begin_from(
    heads: Mapping[str, Head],
    configs: Mapping[str, Any],
    sam: FrozenSam,
    before: Mapping[str, Any] | None = None,
    open_weights: Callable[[str, str], tuple[LearnedWeights, str | None]] = open_weights,
) -> dict[str, str]:
    """Gives heads the weights of the runs or files that their configs name.

    Args:
        heads: by name, untrained.
        configs: of the heads, by name.
        sam: that they are used with.
        before: what the checkpoint of a resumed run says of that run: the heads are left as they are, and what is named
            as before is not read again.
        open_weights: reads what a config names, given its key; one that knows more than runs and files.

    Returns:
        SHA-256 of what each head began from, by name, which stands for its path in the run's recipe.

    Raises:
        HQSamError: a run or file cannot be read, holds several variants of which none is named, or does not fit.
    """
    hashes: dict[str, str] = {}
    begun_from = (before or {}).get("begun_from", {})
    for name, config in configs.items():
        where, key = config.get(WEIGHTS_KEY), f"variants.{name}.{WEIGHTS_KEY}"
        if where is None:
            continue
        if before is not None and before["config"]["variants"].get(name, {}).get(WEIGHTS_KEY) == where:
            hashes |= {name: begun_from[name]} if name in begun_from else {}  # older checkpoints have none
        elif _takes_weights(config):
            hashes[name] = _sha256(Path(where).expanduser())
        else:
            weights, variant = open_weights(where, key)
            if variant is None and len(weights.variants) > 1:
                raise choice_error(f"{key}={where}{SEPARATOR}VARIANT", "no variant", weights.variants)
            variant = variant or weights.variants[0]
            hashes[name] = weights.identity[variant]
            if before is None:
                weights.fill(heads[name], variant, sam)
                log.info("%s begins from %s of %s", name, variant, weights.path)
    return hashes


def _takes_weights(config: Mapping[str, Any]) -> bool:
    """Whether the head reads files of another kind itself."""
    return WEIGHTS_KEY in inspect.signature(get_object(config["_target_"])).parameters


def _sha256(path: Path) -> str:
    """Of a file, or of the files of a folder and their names."""
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    return content_sha256([(str(each.relative_to(path)), file_sha256(each)) for each in files])
