"""Detects NaN and infinity at the step that produces them, and finds where they come from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.optim import Optimizer

from hqsam_lightning.errors import DivergedError
from hqsam_lightning.training.callbacks.last_checkpoint import LastCheckpoint
from hqsam_lightning.types import Batch, StoredFeatures

SHOWN_IDS = 8
PRECISION = "set sam.precision=fp32, or leave these samples out"
DIVERGED = "begin a new run with a lower optimizer.lr or a trainer.gradient_clip_val, or leave these samples out"


@dataclass
class Seen:
    """A forward and backward pass that was not checked yet.

    Attributes:
        step: number of its optimiser step, from 1.
        epoch: from 0.
        sample_ids: of the pass; empty if they are unknown.
        batch: of the pass, if it is checked at once; None if it would fill the device's memory.
        finite: flags on the device: of the loss, and of the gradients once they are there.
    """

    step: int
    epoch: int
    sample_ids: list[str]
    batch: Batch | None
    finite: list[Tensor]


class FiniteWatch(L.Callback):
    """Stops a run at the first step whose loss or gradients are not finite.

    On the CPU the check precedes the optimiser's step. Elsewhere the flags stay on the device, and are read every
    `trainer.log_every_n_steps` steps and before a checkpoint is saved, so that no step waits for the device.

    Args:
        last: the run's checkpoints; None where it saves none.
    """

    def __init__(self, last: LastCheckpoint | None) -> None:
        self.last = last
        self._seen: list[Seen] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Records the samples of the step."""
        ids = list(dict.fromkeys(batch.sample_ids)) if isinstance(batch, Batch) else []
        kept = batch if isinstance(batch, Batch) and pl_module.device.type == "cpu" else None
        self._seen.append(Seen(trainer.global_step + 1, trainer.current_epoch, ids, kept, []))

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        """Raises a `DivergedError` where the loss is not finite."""
        self._seen[-1].finite.append(torch.isfinite(loss.detach()).all())
        if loss.device.type == "cpu":
            self._check(pl_module)

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        """Raises a `DivergedError` where a gradient is not finite before it is clipped."""
        gradients = [value.grad for value in pl_module.parameters() if value.grad is not None]
        # a scaler skips steps of infinite gradients, and lowers its scale
        if gradients and getattr(trainer.precision_plugin, "scaler", None) is None:
            self._seen[-1].finite.append(torch.isfinite(torch.stack(torch._foreach_norm(gradients))).all())
        interval = getattr(trainer, "log_every_n_steps", 0) or 1
        if not gradients or gradients[0].device.type == "cpu" or trainer.global_step % interval == 0:
            self._check_all(pl_module)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Raises a `DivergedError` where something is not finite that was not checked yet."""
        self._check_all(pl_module)

    def _check_all(self, pl_module: L.LightningModule) -> None:
        self._check(pl_module)
        self._seen.clear()

    def _check(self, pl_module: L.LightningModule) -> None:
        flags = [flag for each in self._seen for flag in each.finite]
        if flags and not torch.stack(flags).all():
            bad = next(each for each in self._seen if not all(each.finite))
            raise DivergedError(_message(bad, self.last, pl_module))


def _message(bad: Seen, last: LastCheckpoint | None, pl_module: L.LightningModule) -> str:
    what, remedy = _first_not_finite(bad, pl_module)
    ids = bad.sample_ids
    shown = ", ".join(ids[:SHOWN_IDS]) + (f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else "")
    kept = f"{last.path} holds step {last.saved_step}" if last and last.saved_step else "no checkpoint was written"
    return (
        f"step {bad.step} (epoch {bad.epoch}): expected finite values; the first that are NaN or infinite are {what}; "
        f"samples of the step: {shown or 'unknown'}; {kept}; {remedy}"
    )


@torch.no_grad()
def _first_not_finite(bad: Seen, module: L.LightningModule) -> tuple[str, str]:
    """What is not finite, of what a step computes in turn; and what to do about it."""
    named = [*module.named_parameters(), *module.named_buffers()]
    frozen = _not_finite((name, value) for name, value in named if not value.requires_grad)
    if frozen:
        return f"the frozen weights {frozen}", "use a sound sam.weights file"
    if bad.batch is None:
        # later steps have changed everything else
        return "the gradients" if bad.finite[0] else "the loss", DIVERGED
    if inputs := _not_finite(_inputs(bad.batch)):
        return f"the batch's {inputs}", "check these samples' files, and cache where there is one"
    if weights := _not_finite(named):
        return f"the weights {weights}, which the step before left so", DIVERGED
    gradients = ((name, value.grad) for name, value in module.named_parameters() if value.grad is not None)
    if bad.finite[0]:
        return f"the gradients of {_not_finite(gradients) or 'the weights'}", DIVERGED
    diagnose = getattr(module, "first_not_finite", None)
    if diagnose is not None and (found := diagnose(bad.batch)):
        return found, PRECISION if "frozen SAM" in found else DIVERGED
    return "the loss", DIVERGED


def _not_finite(named: Iterable[tuple[str, Tensor]]) -> str | None:
    found = [name for name, value in named if value.is_floating_point() and not torch.isfinite(value).all()]
    return f"{found[0]} and {len(found) - 1} more" if len(found) > 1 else next(iter(found), None)


def _inputs(batch: Batch) -> Iterable[tuple[str, Tensor]]:
    yield "masks", batch.masks
    if isinstance(batch.images, StoredFeatures):
        yield "stored features", batch.images.image_embeddings
        yield "stored early features", batch.images.early
    else:
        yield "images", batch.pixels
