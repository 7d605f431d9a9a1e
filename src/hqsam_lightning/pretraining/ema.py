"""Averages of weights: the exponential moving one, which is validated and shipped, and the share of the first ones."""

from __future__ import annotations

from collections.abc import Mapping

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn

from hqsam_lightning.checks import arguments, number
from hqsam_lightning.training.averaging import decay_at


class WeightEMA(WeightAveraging):
    """Lightning's averaging callback with a decay that warms up, see `decay_at`.

    Buffers are averaged alike, so that BatchNorm's statistics belong to the averaged weights; whole numbers are copied.
    Validation sees the averages, checkpoints hold both, and `hand_over` puts the averages into the module.

    Args:
        decay: of the average once warmed up, in [0, 1).

    Raises:
        ConfigError: the decay is out of its range.
    """

    @arguments("ema", decay=number(0, 1, below=True))
    def __init__(self, decay: float) -> None:
        self.decay = decay
        super().__init__(multi_avg_fn=self.average)

    @torch.no_grad()
    def average(self, averages: list[Tensor], current: list[Tensor], updates: Tensor | int) -> None:
        """Moves averages in place towards the current values, all of one type and device, at update >= 1."""
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, current, 1 - decay_at(int(updates), self.decay))
        else:
            torch._foreach_copy_(averages, current)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leaves the weights as they are, for the last checkpoint; Lightning would copy the averages."""

    def hand_over(self, module: L.LightningModule) -> None:
        """Leaves the averages in the module for good.

        Lightning copies them at the end of training, but not when a run that had ended is resumed, and would swap them
        in again for every later validation.
        """
        if self._average_model is not None:
            self._copy_average_to_current(module)
            self._average_model = None


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
