"""What a run or a file has learned, whoever wrote it: built as heads, or put into heads that training begins from."""

from __future__ import annotations

import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
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
from hqsam_lightning.training.checkpoint import INFO_KEY, check_checkpoint, read_checkpoint

log = logging.getLogger(__name__)

SEPARATOR = "::"
"""Stands between a run or file and the name of one of its variants."""
WHICH = ("best", "last")
OWN_SUFFIX = ".ckpt"
OFFICIAL_VARIANT = "hq"
WEIGHTS_KEY = "weights"
"""Of a variant's config: what it begins from. It is not an argument of the head, unless the head takes one."""


class LearnedWeights(ABC):
    """Trained heads of one run or file.

    Attributes:
        path: the run's folder, or the file.
        config: of the run that trained them, as plain values; None where the file does not hold it.
    """

    path: Path
    config: dict[str, Any] | None = None

    @property
    @abstractmethod
    def variants(self) -> list[str]:
        """Names of the heads."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, str]:
        """A fingerprint of each head's weights, by name."""

    @abstractmethod
    def build(self, variant: str, sam: FrozenSam) -> Head:
        """Builds a head with its weights.

        Raises:
            HQSamError: it was trained with another SAM, or cannot be built.
        """

    @abstractmethod
    def fill(self, head: Head, variant: str, sam: FrozenSam) -> None:
        """Gives a head of the same architecture the weights of a variant.

        Raises:
            HQSamError: they do not fit, or were trained with another SAM.
        """


class RunWeights(LearnedWeights):
    """Heads that `python -m hqsam_lightning.train` trained.

    Args:
        path: of the run's folder, or of one of its checkpoints.
        files: the checkpoints to read.

    Raises:
        CheckpointError: one cannot be read or holds no variant.
    """

    def __init__(self, path: Path, files: list[Path]) -> None:
        self.path = path
        self._checkpoints: dict[str, dict[str, Any]] = {}
        for file in files:
            checkpoint = read_checkpoint(file)
            self.config = checkpoint[INFO_KEY]["config"]
            names = {key.split(".")[1] for key in checkpoint["state_dict"] if key.startswith("variants.")}
            if not names or "variants" not in self.config:
                raise CheckpointError(f"{file}: expected a checkpoint of hqsam_lightning.train; it holds no variants")
            ordered = [name for name in self.config["variants"] if name in names]
            self._checkpoints |= dict.fromkeys(ordered, checkpoint)

    @property
    def variants(self) -> list[str]:
        """Names of the variants, in the order of the run's config."""
        assert self.config is not None
        return [name for name in self.config["variants"] if name in self._checkpoints]

    @property
    def identity(self) -> dict[str, str]:
        """A fingerprint of each head's weights, by name."""
        return {name: state_dict_sha256(self._state(name)) for name in self.variants}

    def build(self, variant: str, sam: FrozenSam) -> Head:
        """Builds the head as the run's config says."""
        assert self.config is not None
        head = build_head(self.config["variants"][variant], sam, self.config["seed"])
        self.fill(head, variant, sam)
        return head

    def fill(self, head: Head, variant: str, sam: FrozenSam) -> None:
        """Loads what the variant learned; SAM and the names and shapes are compared first."""
        info = self._checkpoints[variant][INFO_KEY]
        try:
            state = self._state(variant)
            check_checkpoint({INFO_KEY: info, "state_dict": state}, head.learned, sam.name, sam.weights_sha256)
        except CheckpointError as error:
            raise CheckpointError(f"{self.path}{SEPARATOR}{variant}: {error}") from error
        head.load_state_dict(state, strict=False)

    def _state(self, variant: str) -> dict[str, Tensor]:
        prefix, state = f"variants.{variant}.", self._checkpoints[variant]["state_dict"]
        return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


class OfficialWeights(LearnedWeights):
    """The HQ head of an official file: a whole model, or the decoder that the authors' training script saves.

    Args:
        path: a ``.pth``, ``.pt`` or ``.safetensors`` file.
        key: config key that the file was named in, for the messages.

    Raises:
        WeightsError: the file cannot be read, or has no HQ parameters.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self._content = read_state_dict(path, key)
        if not from_official(self._content):
            raise WeightsError(
                f"{key}={path}: expected a file with the parameters of an HQ head, found none in its "
                f"{len(self._content)} tensors; plain SAM is scored with ckpt=null sam.weights={path}"
            )

    @property
    def variants(self) -> list[str]:
        """The one head."""
        return [OFFICIAL_VARIANT]

    @property
    def identity(self) -> dict[str, str]:
        """A fingerprint of the head's weights."""
        return {OFFICIAL_VARIANT: state_dict_sha256(from_official(self._content))}

    @property
    def holds_sam(self) -> bool:
        """Whether the file is a whole model, of which SAM can be taken too."""
        return any(name.startswith("image_encoder.") for name in self._content)

    @property
    def early_dim(self) -> int:
        """Channels of the early feature that the head takes, which tell SAM's architectures apart."""
        return len(from_official(self._content)["fusion.early.0.weight"])

    def build(self, variant: str, sam: FrozenSam) -> Head:
        """Builds a full HQ head."""
        head = HQHead(sam)
        self.fill(head, variant, sam)
        return head

    def fill(self, head: Head, variant: str, sam: FrozenSam) -> None:
        """Loads the HQ parameters; what the file holds of SAM has to equal the SAM in use."""
        put_official(head, self._content, self.path, sam)


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
    if path.is_dir():
        weights: LearnedWeights = RunWeights(path, _files_of(path, key, which))
    elif path.suffix == OWN_SUFFIX:
        weights = RunWeights(path, [path])
    else:
        weights = OfficialWeights(path, key)
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
    """Builds a variant's head, untrained; what its config names as `WEIGHTS_KEY` is for `begin_from`.

    Args:
        config: of the variant, with ``_target_``.
        sam: that it is used with.
        seed: of its initial weights.
    """
    config = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    kept = [key for key in config if key != WEIGHTS_KEY or _takes_weights(config)]
    return cast(Head, instantiate(OmegaConf.masked_copy(config, cast(list[Any], kept)), sam=sam, seed=seed))


def begin_from(heads: Mapping[str, Head], configs: Mapping[str, Any], sam: FrozenSam) -> None:
    """Gives heads the weights of the runs or files that their configs name.

    Args:
        heads: by name, untrained.
        configs: of the heads, by name.
        sam: that they are used with.

    Raises:
        HQSamError: a run or file cannot be read, holds several variants of which none is named, or does not fit.
    """
    for name, config in configs.items():
        where = config.get(WEIGHTS_KEY)
        if where is None or _takes_weights(config):
            continue
        key = f"variants.{name}.{WEIGHTS_KEY}"
        weights, variant = open_weights(where, key)
        if variant is None and len(weights.variants) > 1:
            raise choice_error(f"{key}={where}{SEPARATOR}VARIANT", "no variant", weights.variants)
        variant = variant or weights.variants[0]
        weights.fill(heads[name], variant, sam)
        log.info("%s begins from %s of %s", name, variant, weights.path)


def _takes_weights(config: Mapping[str, Any]) -> bool:
    """Whether the head reads files of another kind itself."""
    return WEIGHTS_KEY in inspect.signature(get_object(config["_target_"])).parameters
