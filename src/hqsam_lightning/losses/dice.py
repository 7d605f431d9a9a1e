"""The Dice loss of masks, or of points of them."""

from __future__ import annotations

from torch import Tensor


def dice_loss(logits: Tensor, targets: Tensor, kept: Tensor | None, dim: int | tuple[int, ...]) -> Tensor:
    """Computes 1 - Dice, smoothed by 1, over some dimensions.

    Args:
        logits: of any shape.
        targets: as logits, soft labels in [0, 1].
        kept: bool or 0 and 1, broadcast to logits: the values that count; None for all.
        dim: the dimensions that the sums run over.

    Returns:
        The loss, of the remaining dimensions.
    """
    probabilities = logits.sigmoid()
    if kept is not None:
        probabilities, targets = probabilities * kept, targets * kept
    overlap = 2 * (probabilities * targets).sum(dim)
    return 1 - (overlap + 1) / (probabilities.sum(dim) + targets.sum(dim) + 1)
