"""Validation of a SAM in pretraining: predictions from boxes, from one point, and the filled box."""

from __future__ import annotations

from torch import Tensor

from hqsam_lightning.data.framing import Stretch
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation.scorer import fill_box
from hqsam_lightning.pretraining.model import TrainableSam
from hqsam_lightning.prompts.clicks import deepest_points
from hqsam_lightning.types import Batch

PROTOCOLS = ("filled_box", "box", "point")


def predict_protocols(model: TrainableSam, batch: Batch) -> dict[str, list[Tensor]]:
    """Predicts the masks of an evaluation batch by each protocol; the encoder runs once.

    Args:
        model: in eval mode.
        batch: with box prompts and original masks.

    Returns:
        N (H0, W0) bool masks at the photos' own size: the box filled, the single-mask output with the box, and with
        the point that is deepest inside the object (the paper, figure 5).

    Raises:
        ConfigError: when a mask's prompt is not a box.
    """
    originals = batch.original_masks
    if originals is None:
        raise ValueError("expected a batch with original_masks, got a training batch")
    if any(group.boxes is None for group in batch.prompts):
        raise ConfigError(
            "val_prompts: expected a box for every mask, got other prompts; use prompts@val_prompts.box=box"
        )
    embeddings = model.encode(batch.pixels)
    predicted = {"filled_box": [fill_box(mask) for mask in originals]}
    frame = Stretch(batch.masks.shape[-1])
    for name, groups in (("box", batch.prompts), ("point", [deepest_points(batch.masks)])):
        logits = model.decode(embeddings, groups, batch.image_index).logits[:, :1]
        predicted[name] = [frame.restore(row, mask.shape)[0] for row, mask in zip(logits, originals, strict=True)]
    return predicted
