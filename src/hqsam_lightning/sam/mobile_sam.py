"""MobileSAM's weights under timm's names, which `TinyViTEncoder` has, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

ENCODER = "image_encoder."
# a classifier that SAM does not use, and indices that timm computes
UNUSED = ("head.", "norm_head.")
COMPUTED = "attention_bias_idxs"


def from_mobile_sam(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames the image encoder's tensors of a whole MobileSAM, or an official Light HQ-SAM, and keeps the others.

    The state dict of another SAM is returned as it is.
    """
    if not any(name.startswith(f"{ENCODER}layers.") for name in state_dict):
        return dict(state_dict)
    renamed = {}
    for name, value in state_dict.items():
        inner = name.removeprefix(ENCODER)
        if inner == name:
            renamed[name] = value
        elif not inner.startswith(UNUSED) and not inner.endswith(COMPUTED):
            renamed[ENCODER + _timm_name(inner)] = value
    return renamed


def to_mobile_sam(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gives the image encoder's tensors of a whole model on TinyViT MobileSAM's names, and keeps the others."""
    inner = {name: name.removeprefix(ENCODER) for name in state_dict}
    names = {name: ENCODER + _mobile_name(short) if short != name else name for name, short in inner.items()}
    return {names[name]: value for name, value in state_dict.items()}


def _mobile_name(name: str) -> str:
    """Inverse of `_timm_name`."""
    name = re.sub(r"^stages\.(\d)\.downsample", lambda match: f"layers.{int(match[1]) - 1}.downsample", name)
    name = re.sub(r"^patch_embed\.conv([12])", lambda match: f"patch_embed.seq.{2 * int(match[1]) - 2}", name)
    return re.sub(r"^stages\.", "layers.", name).replace(".conv.weight", ".c.weight")


def _timm_name(name: str) -> str:
    # MobileSAM down-samples at the end of a stage, timm at the beginning of the next
    name = re.sub(r"^layers\.(\d)\.downsample", lambda match: f"layers.{int(match[1]) + 1}.downsample", name)
    name = re.sub(r"^patch_embed\.seq\.([02])", lambda match: f"patch_embed.conv{1 + int(match[1]) // 2}", name)
    return re.sub(r"^layers\.", "stages.", name).replace(".c.weight", ".conv.weight")
