"""Names of the HQ parameters in the authors' checkpoints, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from hqsam_lightning.errors import WeightsError
from hqsam_lightning.sam.state_dicts import read_state_dict

OFFICIAL_PREFIX = "mask_decoder."
OFFICIAL_NAMES = {
    "token.": "hf_token.",
    "mlp.": "hf_mlp.",
    "fusion.final.": "embedding_encoder.",
    "fusion.early.": "compress_vit_feat.",
    "fusion.decoder.": "embedding_maskfeature.",
}


def to_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames an `HQHead`'s state dict to the names of the authors' whole-model checkpoints."""
    return {OFFICIAL_PREFIX + _renamed(name, OFFICIAL_NAMES): value for name, value in state_dict.items()}


def from_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Picks the HQ parameters out of an official checkpoint and gives them an `HQHead`'s names.

    Args:
        state_dict: of a whole model (``sam_hq_vit_b.pth``) or of the decoder alone (``epoch_11.pth``).
    """
    ours = {official: name for name, official in OFFICIAL_NAMES.items()}
    found = {}
    for name, value in state_dict.items():
        name = name.removeprefix(OFFICIAL_PREFIX)
        if name.startswith(tuple(ours)):
            found[_renamed(name, ours)] = value
    return found


def load_official(head: nn.Module, path: Path) -> None:
    """Loads the HQ parameters of an official ``.pth`` into a head of the same architecture.

    Raises:
        WeightsError: when the file cannot be read, has no HQ parameters, or has them for another SAM.
    """
    state_dict = from_official(read_state_dict(path, "variants.<name>.weights"))
    own = head.state_dict()
    wrong = sorted(own.keys() ^ state_dict.keys())
    wrong += sorted(key for key in own.keys() & state_dict.keys() if own[key].shape != state_dict[key].shape)
    if wrong:
        raise WeightsError(
            f"{path}: expected the {len(own)} HQ tensors of this head; {len(wrong)} are missing, not ours or of "
            f"another shape (first: {wrong[0]}); use the official file of this sam=..., with the full HQ head"
        )
    head.load_state_dict(state_dict)


def _renamed(name: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        if name.startswith(old):
            return new + name[len(old) :]
    raise WeightsError(f"{name}: expected a parameter of the full HQ head ({', '.join(names)}); it has no other name")
