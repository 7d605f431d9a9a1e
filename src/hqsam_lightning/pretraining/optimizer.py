"""Groups of a SAM's parameters for any optimiser, and the schedule of a run of known length."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from segment_anything.modeling import Sam
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hqsam_lightning.checks import arguments, integer, number
from hqsam_lightning.errors import ConfigError

DECAYED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def build_optimizer(sam: Sam, make: Callable[[list[dict[str, Any]]], Optimizer], decoder_lr_scale: float) -> Optimizer:
    """Builds the optimiser of a whole SAM, with groups of encoder and decoder, each with and without weight decay.

    Weights of linear and convolution layers decay; biases, norms, embeddings and position tables do not.

    Args:
        sam: all of its parameters learn.
        make: makes the optimiser of the groups, e.g. a partial `torch.optim.AdamW`; its learning rate is the encoder's.
        decoder_lr_scale: learning rate of prompt encoder and mask decoder as a multiple of the encoder's.
    """
    decayed = {
        id(module.weight) for module in sam.modules() if isinstance(module, DECAYED) and module.weight is not None
    }
    decoder = [*sam.prompt_encoder.parameters(), *sam.mask_decoder.parameters()]
    groups: list[dict[str, Any]] = []
    for part, parameters in (("encoder", list(sam.image_encoder.parameters())), ("decoder", decoder)):
        groups.append({"name": part, "params": [each for each in parameters if id(each) in decayed]})
        exempt = [each for each in parameters if id(each) not in decayed]
        groups.append({"name": f"{part}_no_decay", "params": exempt, "weight_decay": 0.0})
    optimizer = make(groups)
    for group in optimizer.param_groups:
        group["lr"] *= decoder_lr_scale if group["name"].startswith("decoder") else 1
    return optimizer


@arguments("scheduler", warmup_steps=integer(0), total_steps=integer(1), final=number(0, 1))
def warmup_cosine(optimizer: Optimizer, warmup_steps: int, total_steps: int, final: float) -> LambdaLR:
    """A linear rise over the first steps, then half a cosine down to a share of the learning rate.

    Args:
        optimizer: its learning rates are the highest ones.
        warmup_steps: steps of the rise; 0 begins at the top.
        total_steps: steps of the run.
        final: share of the learning rate at the last step, in [0, 1].

    Raises:
        ConfigError: the numbers do not fit together.
    """
    if not 0 <= warmup_steps < total_steps:
        raise ConfigError(
            f"scheduler.warmup_steps, trainer.max_steps: expected 0 <= warmup_steps < max_steps; got {warmup_steps}, "
            f"{total_steps}"
        )

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = min(1.0, (step - warmup_steps) / max(1, total_steps - 1 - warmup_steps))
        return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2

    return LambdaLR(optimizer, factor)
