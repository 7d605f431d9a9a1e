"""Interpolation between the weights at the start and at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hqsam_lightning.checks import number, require
from hqsam_lightning.errors import ConfigError


def check_start_share(share: float, weights: str) -> None:
    """Refuses an invalid share.

    Args:
        share: of the first weights, in [0, 1).
        weights: what the run begins with, `sam.weights`.

    Raises:
        ConfigError: the share is out of its range, or the run begins with random weights.
    """
    require("start_share", share, number(0, 1, below=True))
    if share and weights == "random":
        raise ConfigError(
            f"start_share: expected 0 for a run that begins with random weights; got {share}; "
            "set sam.weights=embedded or a file"
        )


def copy_of_state(module: nn.Module) -> dict[str, Tensor]:
    """The module's parameters and buffers as they are now."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


@torch.no_grad()
def blend(module: nn.Module, start: Mapping[str, Tensor], share: float) -> None:
    """Moves every weight of the module towards what it was: share * start + (1 - share) * now; whole numbers stay.

    A model fine-tuned on other data keeps more of what it could do before, at little or no loss of what it learned
    (Wortsman et al., 2022, "Robust fine-tuning of zero-shot models", https://arxiv.org/abs/2109.01903).

    Args:
        module: changed in place.
        start: of `copy_of_state`.
        share: in [0, 1).
    """
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(start[name].to(tensor.device), share)
