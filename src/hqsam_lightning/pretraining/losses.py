"""SAM's losses: focal and Dice of the masks, the best of three, and the squared error of the predicted IoU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from hqsam_lightning.checks import arguments, number
from hqsam_lightning.losses.dice import dice_loss
from hqsam_lightning.pretraining.model import Decoded


class PretrainingLoss(nn.Module):
    """`pixel_weight` x focal + Dice of each mask, and the mean squared error of its predicted IoU (SAM, appendix A).

    Args:
        pixel_weight: of the focal loss; SAM's 20.
        gamma: focusing exponent of the focal loss; 0 makes it the binary cross-entropy.

    Raises:
        ConfigError: a value is out of its range.
    """

    @arguments("loss", pixel_weight=number(0, 1e6), gamma=number(0, 100))
    def __init__(self, pixel_weight: float = 20.0, gamma: float = 2.0) -> None:
        super().__init__()
        self.pixel_weight = pixel_weight
        self.gamma = gamma

    def forward(
        self, decoded: Decoded, coverage: Tensor, multimask: bool, ignore: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Computes the terms of one round.

        Args:
            decoded: of N masks.
            coverage: (N, 1, 4h, 4w) targets in [0, 1].
            multimask: also train the multi-mask outputs: the best of the three learns ("making the model
                ambiguity-aware"), and all four IoU predictions do. False trains the single-mask output alone.
            ignore: (N, 1, 4h, 4w) bool, pixels of the logits that are not trained on; None where nothing is ignored.

        Returns:
            (N,) terms ``single``, ``multi`` (with multimask) and ``iou``, whose sum is the loss; and ``actual_iou``
            (N,) of the single-mask output. The terms of a mask whose pixels are all ignored are 0.
        """
        kept = None if ignore is None else ~ignore
        outputs = slice(None) if multimask else slice(1)
        logits = decoded.logits[:, outputs]
        losses = self.mask_loss(logits, coverage.expand_as(logits), kept)
        actual = actual_iou(logits.detach(), coverage, kept)
        terms = {"single": losses[:, 0]}
        if multimask:
            terms["multi"] = losses[:, 1:].amin(1)
        terms["iou"] = F.mse_loss(decoded.iou[:, outputs], actual, reduction="none").mean(1)
        if kept is not None:
            terms["iou"] = terms["iou"] * kept.flatten(1).any(1)
        return {**terms, "actual_iou": actual[:, 0]}

    def mask_loss(self, logits: Tensor, targets: Tensor, kept: Tensor | None = None) -> Tensor:
        """The loss (N, K) of (N, K, h, w) float32 logits against soft targets of the same shape, in [0, 1].

        The pixels of `kept`, (N, 1, h, w) bool, count; None is all of them.
        """
        focal = sigmoid_focal_loss(logits, targets, alpha=-1, gamma=self.gamma)
        if kept is None:
            focal = focal.mean((-1, -2))
        else:
            area = kept.shape[-1] * kept.shape[-2]
            # a mask without ignored pixels multiplies by exactly 1
            focal = (focal * kept).mean((-1, -2)) * (area / kept.sum((-1, -2)).clamp(min=1))
        return self.pixel_weight * focal + dice_loss(logits, targets, kept, dim=(-1, -2))


@torch.no_grad()
def actual_iou(logits: Tensor, coverage: Tensor, kept: Tensor | None = None) -> Tensor:
    """IoU (N, K) of (N, K, h, w) logits > 0 with (N, 1, h, w) coverage > 0.5; 1 where both are empty.

    The pixels of `kept`, (N, 1, h, w) bool, count; None is all of them.
    """
    predicted, target = logits > 0, coverage > 0.5
    if kept is not None:
        predicted, target = predicted & kept, target & kept
    intersection = (predicted & target).sum((-1, -2))
    union = (predicted | target).sum((-1, -2))
    return torch.where(union == 0, 1.0, intersection / union.clamp(min=1))
