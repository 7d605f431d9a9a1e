"""What inference costs with plain SAM and with each variant: columns of tables 1 and 10."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import lightning as L
import torch

from hqsam_lightning.checks import arguments, integer
from hqsam_lightning.runtime.decoration import decoration
from hqsam_lightning.runtime.timing import take_turns
from hqsam_lightning.training.module import HQSamModule
from hqsam_lightning.types import Batch, PromptGroup


class InferenceSpeed(L.Callback):
    """Measures, after training, one image with one box at a time: from pixels in the model's frame to mask logits.

    Args:
        rounds: in which the methods take turns; the median counts.

    Attributes:
        costs: by method: "images_per_second", and on a GPU "gpu_gib": the weights of SAM and of the method, and the
            most memory that the call took beside them.

    Raises:
        ConfigError: for no round.
    """

    @arguments("callbacks.speed", rounds=integer(1))
    def __init__(self, rounds: int = 10) -> None:
        self.rounds = rounds
        self.costs: dict[str, dict[str, float]] = {}

    @torch.no_grad()
    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measures on the first process."""
        module = cast(HQSamModule, pl_module)
        was_training = module.training
        if trainer.is_global_zero:
            with decoration("callbacks.speed, timing inference,"):
                self._measure(module.eval())
            module.train(was_training)

    def _measure(self, module: HQSamModule) -> None:
        batch = one_box(module.sam.image_size, module.device)
        predict = {name: partial(module, batch, {name: head}) for name, head in module.heads.items()}
        timings = take_turns(predict, self.rounds)
        self.costs = {name: {"images_per_second": round(1 / timings[name].median, 3)} for name in predict}
        if module.device.type == "cuda":
            for name, run in predict.items():
                self.costs[name]["gpu_gib"] = round(_gpu_memory(module, name, run) / 2**30, 2)


def one_box(image_size: int, device: torch.device) -> Batch:
    """A grey image of the model's input frame with a box over its middle."""
    quarter = image_size / 4
    first = torch.zeros(1, dtype=torch.int64, device=device)
    return Batch(
        images=torch.full((1, 3, image_size, image_size), 128, dtype=torch.uint8, device=device),
        masks=torch.zeros(1, 1, image_size, image_size, device=device),
        image_index=first,
        prompts=[PromptGroup(first, boxes=torch.tensor([[quarter, quarter, 3 * quarter, 3 * quarter]], device=device))],
        seeds=[0],
        original_masks=None,
        sample_ids=["grey"],
        datasets=["grey"],
    )


def _gpu_memory(module: HQSamModule, name: str, run: Callable[[], object]) -> int:
    """Not the peak itself, which holds the other variants and the optimiser's state too."""
    held = {*module.sam.parameters(), *module.heads[name].parameters()}
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    return torch.cuda.max_memory_allocated() - before + sum(value.nbytes for value in held)
