"""The correction rounds of SAM's paper (appendix A, training algorithm): a click on the error, the last mask as prompt.

Masks are compared at the size of the logits, where the target is each pixel's share of object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from hqsam_lightning.pretraining.model import Decoded
from hqsam_lightning.prompts.clicks import add_clicks, draw_clicks
from hqsam_lightning.seeding import derive_rng
from hqsam_lightning.types import PromptGroup


def coverage_of(masks: Tensor, side: int) -> Tensor:
    """Averages (N, 1, H, W) masks over the pixels of their logits: (N, 1, side, side) in [0, 1]."""
    return F.interpolate(masks, (side, side), mode="area")


def ignored_cells(ignore: Tensor | None, side: int) -> Tensor | None:
    """Pixels of the logits that average any ignored pixel: (N, 1, H, W) bool to (N, 1, side, side) bool."""
    return None if ignore is None else F.adaptive_max_pool2d(ignore.float(), side) > 0


def correction_rounds(
    decode: Callable[[list[PromptGroup]], Decoded],
    groups: list[PromptGroup],
    coverage: Tensor,
    seeds: list[int],
    rounds: int,
    image_size: int,
    ignore: Tensor | None = None,
) -> Iterator[Decoded]:
    """Yields the predictions of each round, the first from `groups`, the others after one more click per mask.

    Args:
        decode: predicts N masks from groups of prompts.
        groups: the first round's prompts of N masks.
        coverage: (N, 1, 4h, 4w) share of object.
        seeds: N seeds; a mask's clicks depend on its own seed, the round and its predictions alone.
        rounds: number of rounds, at least 1.
        image_size: side of the input frame in pixels.
        ignore: (N, 1, 4h, 4w) bool, where no click is drawn; None where nothing is ignored.
    """
    for number in range(rounds):
        decoded = decode(groups)
        yield decoded
        if number + 1 < rounds:
            # detached: a round does not learn through the prompts of the next
            logits = decoded.logits[:, :1].detach()
            draws = [derive_rng(seed, "click", number).random() for seed in seeds]
            uniform = torch.tensor(draws, device=logits.device)
            coords, labels = draw_clicks(logits, coverage, uniform, image_size, ignore)
            groups = [add_clicks(group, coords, labels, logits) for group in groups]
