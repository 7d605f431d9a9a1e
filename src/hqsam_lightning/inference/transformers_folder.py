"""A folder of `transformers`' SamModel or SamHQModel: which SAM it holds, read from its tensors' shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from hqsam_lightning.errors import WeightsError
from hqsam_lightning.storage.files import read_json

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
MODELS = ("sam", "sam_hq")
"""Values of ``model_type`` that can be read."""
BLOCK = "image_encoder.blocks."
REMEDY = "save the model again with its save_pretrained, in one file"


def is_transformers_folder(folder: Path) -> bool:
    """Whether a folder's config is one of `transformers`.

    Raises:
        WeightsError: it is not JSON, or of a model that is not SAM.
    """
    config = read_json(folder / CONFIG_FILE, WeightsError, REMEDY)
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind is not None and kind not in MODELS:
        raise WeightsError(
            f"{folder / CONFIG_FILE}: expected the model_type {' or '.join(MODELS)}; got {kind!r}, which is no SAM on "
            "a ViT"
        )
    return kind is not None


def vit_config_of(content: Mapping[str, Tensor], name: str, path: Path) -> dict[str, Any]:
    """The config of a SAM on a ViT, as plain values.

    Args:
        content: all of its tensors, under their official names.
        name: shown in reports.
        path: of their file.

    Raises:
        WeightsError: a tensor is missing.
    """
    try:
        patches, grid = content["image_encoder.patch_embed.proj.weight"], content["image_encoder.pos_embed"].shape[1]
        spans = [length for length, _ in _relative_positions(content)]
        windows = [span for span in spans if span != grid]
        return {
            "_target_": "hqsam_lightning.sam.build_sam",
            "name": name,
            "image_size": grid * patches.shape[-1],
            "patch_size": patches.shape[-1],
            "embed_dim": content["mask_decoder.iou_token.weight"].shape[1],
            "mlp_dim": len(content["mask_decoder.transformer.layers.0.mlp.lin1.weight"]),
            "encoder": {
                "_target_": "hqsam_lightning.sam.vit_encoder",
                "_partial_": True,
                "embed_dim": len(patches),
                "depth": len(spans),
                "num_heads": len(patches) // _relative_positions(content)[0][1],
                "window_size": windows[0] if windows else 0,
                "global_attn_indexes": [index for index, span in enumerate(spans) if span == grid],
            },
            "weights": str(path),
        }
    except (LookupError, ZeroDivisionError) as cause:
        raise WeightsError(f"{path}: expected the tensors of a whole SAM; {cause} is missing; {REMEDY}") from cause


def _relative_positions(content: Mapping[str, Tensor]) -> list[tuple[int, int]]:
    """For each block, the side of the square of tokens that attend to each other, and a head's channels."""
    depth = len({name.split(".")[2] for name in content if name.startswith(BLOCK)})
    tables = [content[f"{BLOCK}{index}.attn.rel_pos_h"] for index in range(depth)]
    return [((len(table) + 1) // 2, table.shape[1]) for table in tables]
