"""MobileSAM's weights under timm's names, which `TinyViTEncoder` has."""

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


def _timm_name(name: str) -> str:
    # MobileSAM down-samples at the end of a stage, timm at the beginning of the next
    name = re.sub(r"^layers\.(\d)\.downsample", lambda match: f"layers.{int(match[1]) + 1}.downsample", name)
    name = re.sub(r"^patch_embed\.seq\.([02])", lambda match: f"patch_embed.conv{1 + int(match[1]) // 2}", name)
    return re.sub(r"^layers\.", "stages.", name).replace(".c.weight", ".conv.weight")
