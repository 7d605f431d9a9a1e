"""AdamW over two learning rates, and the schedule of a run of known length."""

from __future__ import annotations

import math

from segment_anything.modeling import Sam
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hqsam_lightning.checks import arguments, integer, list_of, number
from hqsam_lightning.errors import ConfigError

DECAYED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@arguments(
    "optimizer",
    lr=number(0, above=True),
    decoder_lr_scale=number(0, 1000),
    betas=list_of(number(0, 1, below=True), 2, 2),
    weight_decay=number(0, 1000),
)
def build_optimizer(
    sam: Sam, lr: float, decoder_lr_scale: float, betas: tuple[float, float], weight_decay: float
) -> AdamW:
    """Builds the optimiser of a whole SAM.

    Weights of linear and convolution layers decay; biases, norms, embeddings and position tables do not.

    Args:
        sam: all of its parameters learn.
        lr: of the image encoder.
        decoder_lr_scale: learning rate of prompt encoder and mask decoder as a multiple of lr.
        betas: of AdamW.
        weight_decay: of AdamW.

    Raises:
        ConfigError: a value is out of its range.
    """
    decayed = {
        id(module.weight) for module in sam.modules() if isinstance(module, DECAYED) and module.weight is not None
    }
    groups = []
    encoder = list(sam.image_encoder.parameters())
    decoder = [*sam.prompt_encoder.parameters(), *sam.mask_decoder.parameters()]
    for part, parameters, rate in (("encoder", encoder, lr), ("decoder", decoder, lr * decoder_lr_scale)):
        for name, decay in ((part, weight_decay), (f"{part}_no_decay", 0.0)):
            members = [parameter for parameter in parameters if (id(parameter) in decayed) == (name == part)]
            groups.append({"name": name, "params": members, "lr": rate, "weight_decay": decay})
    return AdamW(groups, lr=lr, betas=(betas[0], betas[1]))


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
