"""A model called with records of images and prompts, as segment-anything's `Sam` is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hqsam_lightning.errors import PromptError
from hqsam_lightning.inference.model import HQSam
from hqsam_lightning.inference.predictor import SamPredictor
from hqsam_lightning.inference.rows import encode_fitted

PROMPTS = ("point_coords", "point_labels", "boxes", "mask_inputs")


@torch.no_grad()
def predict_records(model: HQSam, records: Sequence[Mapping[str, Any]], multimask_output: bool) -> list[dict[str, Any]]:
    """See `HQSam.forward`."""
    for number, record in enumerate(records):
        _require_fitted(f"batched_input[{number}]", record.get("image"), model.image_size)
    predictor = SamPredictor(model)
    features = encode_fitted(model, [record["image"] for record in records])
    predictor.set_features(features, [record["original_size"] for record in records])
    found = []
    for number, record in enumerate(records):
        points, labels, boxes, mask_inputs = (record.get(name) for name in PROMPTS)
        masks, scores, logits = predictor.predict_torch(
            points, labels, boxes, mask_inputs, multimask_output, image=number
        )
        found.append({"masks": masks, "iou_predictions": scores, "low_res_logits": logits})
    return found


def _require_fitted(name: str, image: Any, side: int) -> None:
    shape = tuple(image.shape) if isinstance(image, Tensor) else None
    if shape is None or len(shape) != 3 or shape[0] != 3 or max(shape[1:]) != side:
        raise PromptError(
            f"{name}: expected under 'image' a tensor (3, H, W) with a longest side of {side}; got "
            f"{type(image).__name__ if shape is None else shape}; resize it with SamPredictor.transform"
        )
