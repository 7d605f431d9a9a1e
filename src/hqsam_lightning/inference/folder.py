"""A model as a folder: ``config.json``, ``model.safetensors`` with what the head learned, and a model card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from hydra.utils import get_class
from torch import Tensor

from hqsam_lightning.errors import ConfigError, WeightsError
from hqsam_lightning.heads import Head
from hqsam_lightning.inference.card import model_card
from hqsam_lightning.inference.model import HQSam, Origin
from hqsam_lightning.sam.state_dicts import pack_weights, read_state_dict
from hqsam_lightning.storage.files import read_document, write_document, write_whole

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"
KIND = "model"
VERSION = 1
REMEDY = "save it again with HQSam.save_pretrained"
OWN_HEADS = "hqsam_lightning.heads."
SAM_PARTS = (
    "hqsam_lightning.sam.build_sam",
    "hqsam_lightning.sam.vit_encoder",
    "hqsam_lightning.sam.TinyViTEncoder",
    "hqsam_lightning.sam.EfficientNetEncoder",
)
"""What the config of a SAM may call."""


def write_folder(model: HQSam, folder: Path) -> None:
    """Writes a model's head, the description of its SAM, and a model card.

    Args:
        model: with a head.
        folder: created if missing; files of an earlier model in it are replaced.

    Raises:
        ConfigError: the model has no head, or nobody knows what it was built from.
        StorageError: a file cannot be written.
    """
    origin = require_origin(model, "save_pretrained")
    if origin.head is None:
        raise ConfigError("save_pretrained: expected a model with a trained head; got plain SAM, which is its own file")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / WEIGHTS_FILE, pack_weights(on_cpu(model.head.learned)))
    write_document(folder / CONFIG_FILE, KIND, VERSION, describe(model, origin))
    write_whole(folder / CARD_FILE, model_card(model, origin).encode())


def require_origin(model: HQSam, action: str) -> Origin:
    """What a model was built from.

    Args:
        model: any.
        action: that needs it, for the message.

    Raises:
        ConfigError: nobody knows.
    """
    if model.origin is None:
        raise ConfigError(
            f"{action}: expected a model that HQSam.from_pretrained built; got one built by hand, without an Origin"
        )
    return model.origin


def describe(model: HQSam, origin: Origin) -> dict[str, Any]:
    """Everything but its tensors that a model is built again from, as values of JSON."""
    sam = {"name": model.sam.name, "sha256": model.sam.weights_sha256, "config": _without_paths(origin.sam)}
    head = None if origin.head is None else dict(origin.head)
    return {"sam": sam, "head": head, "output": model.output, "facts": dict(origin.facts)}


def on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as safetensors takes them."""
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def read_folder(folder: Path, trusted: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Reads what `write_folder` wrote.

    Args:
        folder: of the model.
        trusted: whether the config may name code outside of this package, which loading runs.

    Returns:
        The config (``sam``, ``head``, ``output``, ``facts``), and the head's tensors by name.

    Raises:
        WeightsError: a file is missing or damaged, or the config names code that is not trusted.
    """
    config = read_document(folder / CONFIG_FILE, KIND, VERSION, WeightsError, REMEDY)
    if not trusted:
        require_own_code(folder / CONFIG_FILE, config)
    return config, read_state_dict(folder / WEIGHTS_FILE, "model")


def fill_head(head: Head, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Gives a head what was learned.

    Args:
        head: untrained.
        tensors: by its names.
        path: of the file that they are from, for the message.

    Raises:
        WeightsError: a tensor is missing, is not the head's, or has another shape.
    """
    own = head.learned
    wrong = sorted(own.keys() ^ tensors.keys())
    wrong += sorted(name for name in own.keys() & tensors.keys() if own[name].shape != tensors[name].shape)
    if wrong:
        raise WeightsError(
            f"{path}: expected the {len(own)} tensors of the head that its config names; {len(wrong)} are missing, not "
            f"its own or of another shape (first: {wrong[0]}); {REMEDY}"
        )
    head.load_state_dict(dict(tensors), strict=False)


def _without_paths(sam: Mapping[str, Any]) -> dict[str, Any]:
    """SAM's config without places of this machine; a file of weights is known by its fingerprint."""
    kept = {name: value for name, value in sam.items() if name != "cache_dir"}
    if kept["weights"] not in ("published", "embedded", "random"):
        kept["weights"] = "file"
    return kept


def require_own_code(path: Path, config: Mapping[str, Any]) -> None:
    """Refuses a config that would call anything but this package's heads and SAM.

    Raises:
        WeightsError: it would.
    """
    head = None if config["head"] is None else config["head"].get("_target_")
    is_own = config["head"] is None or (isinstance(head, str) and head.startswith(OWN_HEADS) and _is_head(head))
    others = [name for name in _targets(config["sam"]) if name not in SAM_PARTS]
    others += [name for name in _targets(config["head"]) if name != head]
    if not is_own or others:
        raise WeightsError(
            f"{path}: expected a head and SAM of hqsam_lightning; it names {', '.join([*others, str(head)])}, "
            "and loading it would run that code; where you trust its author, pass trusted=True"
        )


def _is_head(target: str) -> bool:
    try:
        return issubclass(get_class(target), Head)
    except (ImportError, ValueError):
        return False


def _targets(config: Any) -> list[str]:
    """Every ``_target_`` in nested values."""
    if isinstance(config, Mapping):
        own = [cast(str, config["_target_"])] if "_target_" in config else []
        return own + [name for value in config.values() for name in _targets(value)]
    if isinstance(config, list):
        return [name for value in config for name in _targets(value)]
    return []
