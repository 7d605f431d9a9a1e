"""Names of the HQ parameters in the authors' checkpoints, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from hqsam_lightning.errors import WeightsError
from hqsam_lightning.heads.fusion import SOURCES
from hqsam_lightning.heads.hq import HQHead
from hqsam_lightning.sam.frozen import FrozenSam
from hqsam_lightning.sam.mobile_sam import from_mobile_sam

OFFICIAL_PREFIX = "mask_decoder."
OFFICIAL_NAMES = {
    "token.": "hf_token.",
    "mlp.": "hf_mlp.",
    "fusion.final.": "embedding_encoder.",
    "fusion.early.": "compress_vit_feat.",
    "fusion.decoder.": "embedding_maskfeature.",
}
FULL_HEAD = (
    "token.weight",
    *(f"mlp.layers.{layer}.{kind}" for layer in range(3) for kind in ("weight", "bias")),
    *(f"fusion.{source}.{layer}.{kind}" for source in SOURCES for layer in (0, 1, 3) for kind in ("weight", "bias")),
)
"""Names of an `HQHead` of all three features; the authors' model has no other."""


def authors_refusal(head: nn.Module) -> str | None:
    """Why the authors' model cannot hold a head; None where it can."""
    if type(head) is not HQHead:
        return f"it has no head but HQ-SAM's own; this one is {type(head).__name__}"
    state_dict = head.state_dict()
    if state_dict.keys() != set(FULL_HEAD):
        return f"its head has features=[{', '.join(SOURCES)}] and fusion=conv; this one has others"
    if any(len(state_dict[name]) != width for name, width in _authors_widths(state_dict).items()):
        return "its head has fusion_width=1; this one has another width"
    return None


def to_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames a full `HQHead`'s state dict to the names of the authors' whole-model checkpoints.

    Raises:
        WeightsError: for a head of fewer features, of another fusion, or of another width: the authors' loader would
            leave at random what it lacks.
    """
    missing = [name for name in FULL_HEAD if name not in state_dict]
    renamed = {OFFICIAL_PREFIX + _renamed(name, OFFICIAL_NAMES): value for name, value in state_dict.items()}
    if missing:
        raise WeightsError(
            f"to_official: expected the {len(FULL_HEAD)} tensors of a full HQ head ({', '.join(FULL_HEAD)}), got one "
            f"without {', '.join(missing)}; convert one of features=[{', '.join(SOURCES)}] and fusion=conv"
        )
    _require_authors_width(state_dict)
    return renamed


def from_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Picks the HQ parameters out of an official checkpoint and gives them an `HQHead`'s names.

    The checkpoint is of a whole model (``sam_hq_vit_b.pth``) or of the decoder alone (``epoch_11.pth``).
    """
    ours = {official: name for name, official in OFFICIAL_NAMES.items()}
    named = {name.removeprefix(OFFICIAL_PREFIX): value for name, value in state_dict.items()}
    return {_renamed(name, ours): value for name, value in named.items() if name.startswith(tuple(ours))}


def put_official(head: nn.Module, content: Mapping[str, Tensor], path: Path, sam: FrozenSam | None) -> None:
    """Loads the HQ parameters of an official file into a head of the same architecture.

    Args:
        head: an `HQHead`.
        content: of the file.
        path: of the file, for the messages.
        sam: that the head is used with; what the file holds of SAM has to equal it bit for bit. None compares nothing.

    Raises:
        WeightsError: when the file has no HQ parameters, has them for another SAM's sizes, or was trained with other
            weights of SAM.
    """
    state_dict = from_official(content)
    own = head.state_dict()
    wrong = sorted(own.keys() ^ state_dict.keys())
    wrong += sorted(key for key in own.keys() & state_dict.keys() if own[key].shape != state_dict[key].shape)
    if wrong:
        raise WeightsError(
            f"{path}: expected the {len(own)} HQ tensors of this head; {len(wrong)} are missing, not ours or of "
            f"another shape (first: {wrong[0]}); use the official file of this sam=..., with the full HQ head"
        )
    if sam is not None:
        _require_same_sam(path, content, sam)
    head.load_state_dict(state_dict)


def _require_same_sam(path: Path, content: Mapping[str, Tensor], sam: FrozenSam) -> None:
    """Refuses a head trained on another SAM: the authors train on a frozen one and save it unchanged."""
    own = sam.sam.state_dict()
    held = _sam_part(content, own)
    different = sorted(
        name for name, value in held.items() if not torch.equal(own[name].cpu(), value.to(own[name].dtype))
    )
    if different:
        raise WeightsError(
            f"{path}: expected a head that was trained with the SAM in use, {sam.name}; {len(different)} of the "
            f"{len(held)} tensors of SAM that the file holds differ from it (first: {different[0]}); choose the "
            "sam=... and sam.weights=... that it was trained with"
        )


def _sam_part(content: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The file's tensors that a SAM has too, under the names of a whole model."""
    renamed = from_mobile_sam(content)
    named = {name if name in own else OFFICIAL_PREFIX + name: value for name, value in renamed.items()}
    return {name: value for name, value in named.items() if name in own}


def _require_authors_width(state_dict: Mapping[str, Tensor]) -> None:
    for name, expected in _authors_widths(state_dict).items():
        if len(state_dict[name]) != expected:
            raise WeightsError(
                f"to_official: {name}: expected the authors' {expected} channels, got {len(state_dict[name])}; "
                "convert a head of fusion_width=1"
            )


def _authors_widths(state_dict: Mapping[str, Tensor]) -> dict[str, int]:
    """The authors' channels between two convolutions of the fusion, by the name of the norm there."""
    channels = state_dict["token.weight"].shape[1]
    widths = {"final": channels // 4, "early": channels, "decoder": channels // 4}
    return {f"fusion.{source}.1.weight": width for source, width in widths.items()}


def _renamed(name: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        if name.startswith(old):
            return new + name[len(old) :]
    raise WeightsError(f"{name}: expected a parameter of the full HQ head ({', '.join(names)}); it has no other name")
