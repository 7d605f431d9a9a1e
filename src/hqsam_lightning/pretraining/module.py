"""The LightningModule of pretraining: rounds of prompts in training, mIoU by protocol in validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from segment_anything.modeling import Sam
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MeanMetric

from hqsam_lightning.data.framing import Stretch
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation.scorer import fill_box
from hqsam_lightning.metrics import mask_iou
from hqsam_lightning.pretraining.losses import PretrainingLoss
from hqsam_lightning.pretraining.model import TrainableSam
from hqsam_lightning.pretraining.optimizer import build_optimizer
from hqsam_lightning.pretraining.rounds import correction_rounds, coverage_of, ignored_cells
from hqsam_lightning.prompts.clicks import deepest_points
from hqsam_lightning.sam.state_dicts import state_dict_sha256
from hqsam_lightning.training.checkpoint import INFO_KEY, checkpoint_info, require_finite
from hqsam_lightning.types import Batch

PROTOCOLS = ("filled_box", "box", "point")


class PretrainingModule(L.LightningModule):
    """Trains a whole SAM on prompted masks.

    Args:
        sam: the model; all of it learns.
        name: shown in reports and checkpoints.
        loss: of one round.
        optimizer: makes the optimiser of groups of parameters, e.g. a partial `torch.optim.AdamW`.
        decoder_lr_scale: see `build_optimizer`.
        scheduler: makes its learning-rate schedule, stepped every step.
        rounds: per mask and step: the first prompt, then one click each.
        precision: see `TrainableSam`.
        config: the run's resolved config as plain values, kept in checkpoints.

    Raises:
        ConfigError: for an unknown precision.
    """

    def __init__(
        self,
        sam: Sam,
        name: str,
        loss: PretrainingLoss,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        decoder_lr_scale: float,
        scheduler: Callable[[Optimizer], LRScheduler],
        rounds: int,
        precision: str,
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = TrainableSam(sam, precision)
        self.name = name
        self.loss = loss
        self.rounds = rounds
        self.scores: dict[str, float] = {}
        # no part of the module, so that they stay on the CPU: Apple's devices have no float64
        self._means = {name: MeanMetric().set_dtype(torch.float64) for name in PROTOCOLS}
        self._optimizer = optimizer
        self._decoder_lr_scale = decoder_lr_scale
        self._scheduler = scheduler
        self.data_facts: dict[str, Any] | None = None
        """Fingerprint of the run's data, kept in checkpoints."""
        self._config = config or {}

    @property
    def scored_masks(self) -> int:
        """Masks of the last validation."""
        return self._means["box"].update_count

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean loss over the rounds; the encoder runs once."""
        embeddings = self.model.encode(batch.pixels)
        side = self.model.prompt_encoder.mask_input_size[0]
        coverage, ignore = coverage_of(batch.masks, side), ignored_cells(batch.mask_ignore(), side)
        rounds = correction_rounds(
            lambda groups: self.model.decode(embeddings, groups, batch.image_index),
            batch.prompts,
            coverage,
            batch.seeds,
            self.rounds,
            batch.pixels.shape[-1],
            ignore,
        )
        weights = batch.mask_weights()
        losses = []
        for number, decoded in enumerate(rounds, start=1):
            terms = self.loss(decoded, coverage, multimask=number == 1, ignore=ignore)
            terms = {name: (values * weights).sum() for name, values in terms.items()}
            actual = terms.pop("actual_iou")
            losses.append(torch.stack(list(terms.values())).sum())
            logged = {f"train/round_{number}/{name}": value.detach() for name, value in terms.items()}
            self.log_dict({**logged, f"train/round_{number}/miou": actual}, batch_size=len(batch.masks))
        loss = torch.stack(losses).mean()
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(batch.masks))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Scores every protocol at original size."""
        predicted = predict_protocols(self.model, batch)
        for row, target in enumerate(batch.original_masks or []):
            ignore = batch.original_ignore_of(row)
            masks = torch.stack([predicted[name][row] for name in PROTOCOLS])
            scores = mask_iou(masks, target[None], None if ignore is None else ignore[None])
            for name, score in zip(PROTOCOLS, scores.tolist(), strict=True):
                self._means[name].update(score)

    def on_validation_epoch_start(self) -> None:
        """Begins with no scores."""
        for mean in self._means.values():
            mean.reset()

    def on_validation_epoch_end(self) -> None:
        """Logs each protocol's mIoU over the masks of all validation sets."""
        if self.trainer.sanity_checking:
            return
        self.scores = {name: float(mean.compute()) for name, mean in self._means.items()}
        self.log_dict({f"val/{name}/miou": score for name, score in self.scores.items()})

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimiser and its schedule, stepped every step."""
        optimizer = build_optimizer(self.model.sam, self._optimizer, self._decoder_lr_scale)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._scheduler(optimizer), "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what the checkpoint belongs to; a `CheckpointError` where a weight is not finite."""
        state = self.model.sam.state_dict()
        require_finite(state)
        checkpoint[INFO_KEY] = checkpoint_info(self.name, state_dict_sha256(state), self._config, self.data_facts)


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
