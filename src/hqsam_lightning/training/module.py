"""The LightningModule: one frozen SAM, a dict of variants over its features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, cast

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from hqsam_lightning.data.folds import Folds
from hqsam_lightning.errors import CheckpointError, ConfigError, choice_error
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.scorer import Scorer
from hqsam_lightning.evaluation.table import BASELINE, BOX_ROW, Row, make_table, mean_over_sets, summarise
from hqsam_lightning.heads import Head, SamHead
from hqsam_lightning.heads.base import predictions
from hqsam_lightning.losses import PointSampledMaskLoss
from hqsam_lightning.sam.frozen import FrozenSam
from hqsam_lightning.training.checkpoint import INFO_KEY, check_checkpoint, checkpoint_info, require_finite
from hqsam_lightning.training.fold_heads import FoldHeads, variant_of
from hqsam_lightning.types import Batch, MaskLogits

OUTPUTS = ("hq", "sum")


class HQSamModule(L.LightningModule):
    """Trains variants side by side; each ends with the weights it would have had alone.

    The image encoder runs once a batch for all of them. They share no parameter, so the sum of their losses gives each
    its own gradient. Plain SAM is always validated beside them under the name "sam".

    Args:
        sam: the frozen model.
        variants: heads by name.
        loss: on the HQ logits alone.
        optimizer: makes the optimiser of the trainable parameters, e.g. a partial `torch.optim.Adam`.
        scheduler: makes its learning-rate schedule, stepped once an epoch.
        scorer: scores the validation.
        output: logits that best checkpoints and pictures are chosen by: "hq" or "sum".
        variant: the one that a search and the pictures judge; None is the only one that learns.
        config: the run's resolved config as plain values, kept in checkpoints.
        sequential_backward: take each variant's gradients before the next one's forward pass, so that memory holds one
            graph.
        variant_losses: by name, of the variants that are trained by another loss.
        folds: parts of the training photos, which are validated on: each variant that learns is scored by heads beside
            it, which do not learn from the part that they score. None scores the variant itself.

    Raises:
        ConfigError: for an unknown output or variant, a variant named as a baseline, no variant that learns, or a loss
            of none.
    """

    def __init__(
        self,
        sam: FrozenSam,
        variants: Mapping[str, Head],
        loss: PointSampledMaskLoss,
        optimizer: Callable[[list[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler],
        scorer: Scorer,
        output: str = "hq",
        variant: str | None = None,
        config: dict[str, Any] | None = None,
        sequential_backward: bool = False,
        variant_losses: Mapping[str, PointSampledMaskLoss] | None = None,
        folds: Folds | None = None,
    ) -> None:
        super().__init__()
        if output not in OUTPUTS:
            raise choice_error("evaluation.output", output, OUTPUTS)
        for name in (BASELINE, *([BOX_ROW[0]] if scorer.filled_box else [])):
            if name in variants:
                raise ConfigError(f"variants.{name}: expected another name; a baseline is there under this one")
        if not any(head.learned for head in variants.values()):
            raise ConfigError(f"variants: expected at least one head that learns; got {sorted(variants)}")
        for name in variant_losses or {}:
            if name not in variants:
                raise choice_error("variant_losses", name, sorted(variants))
        self.sam = sam
        self.variants = nn.ModuleDict({BASELINE: SamHead(), **variants})
        self.fold_heads = None if folds is None else FoldHeads(self.trained, folds)
        self.loss = loss
        self.variant_losses = dict(variant_losses or {})
        self.output = output
        self.sequential_backward = sequential_backward
        self.scorer = scorer
        self.scores = make_table([])
        """The table of the last validation."""
        self.scored_step = -1
        if variant is not None and variant not in self.trained:
            raise choice_error("evaluation.variant", variant, sorted(self.trained))
        self._variant = variant
        self._optimizer = optimizer
        self._scheduler = scheduler
        self.data_facts: dict[str, Any] | None = None
        """Fingerprint of the run's data, kept in checkpoints."""
        self.begun_from: dict[str, str] = {}
        """SHA-256 of the weights that variants began from, kept in checkpoints."""
        self._config = config or {}
        # checkpoints lack the frozen SAM on purpose; on_load_checkpoint checks the other keys
        self.strict_loading = False
        # DistributedDataParallel reads this: what is frozen is neither broadcast nor put into gradient buckets.
        state = self.state_dict(keep_vars=True)
        self._ddp_params_and_buffers_to_ignore = [name for name in state if not state[name].requires_grad]

    @classmethod
    def load_from_checkpoint(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises a `CheckpointError` that names what to call: a checkpoint holds no SAM, losses or optimiser."""
        raise CheckpointError(
            "HQSamModule.load_from_checkpoint: a checkpoint holds the trained parts and the config, not SAM; "
            "call hqsam_lightning.load_run(CHECKPOINT), which builds the rest from the config"
        )

    @property
    def rows(self) -> list[Row]:
        """(variant, output) pairs that are scored: plain SAM, then each variant's outputs."""
        return [(name, output) for name, head in self.heads.items() for output in head.outputs]

    def output_of(self, variant: str) -> str:
        """The logits that a variant is shown and judged by: the run's, or its own where it has no such."""
        outputs = self.heads[variant].outputs
        return self.output if self.output in outputs else outputs[0]

    @property
    def searched(self) -> str | None:
        """The variant whose score a search maximises; None where several learn and none was named."""
        return self._variant or (next(iter(self.trained)) if len(self.trained) == 1 else None)

    @property
    def trained(self) -> dict[str, Head]:
        """The variants that learn."""
        return {name: head for name, head in self.heads.items() if head.learned}

    @property
    def learning(self) -> dict[str, Head]:
        """Every head that learns: the variants, and those that score them on their own photos."""
        return self.trained | ({} if self.fold_heads is None else self.fold_heads.heads)

    @property
    def trainable_state(self) -> dict[str, Tensor]:
        """The part of the state dict that is trained: what checkpoints hold of it."""
        parts = {"variants": self.variants, **({} if self.fold_heads is None else {"fold_heads": self.fold_heads})}
        named = {f"{part}.{name}": value for part in parts for name, value in parts[part].named_parameters()}
        return {name: value for name, value in named.items() if value.requires_grad}

    @property
    def heads(self) -> dict[str, Head]:
        """All variants by name, plain SAM first."""
        return {name: cast(Head, head) for name, head in self.variants.items()}

    def forward(self, batch: Batch, variants: Mapping[str, Head]) -> dict[str, MaskLogits]:
        """Mask logits of the batch's N masks, by variant."""
        return dict(predictions(self.sam, variants, batch))

    def losses(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """Loss of each learning head's HQ logits on the masks that it may see, and its parts, by head."""
        weights, ignore = batch.mask_weights(), batch.mask_ignore()
        losses, heads = {}, self.learning
        for name, logits in predictions(self.sam, heads, batch):
            seen = weights if self.fold_heads is None else weights * self.fold_heads.seen(name, batch)
            terms = self.loss_of(name)(logits.hq, batch.masks, batch.seeds, seen, ignore)
            if self.sequential_backward:
                terms["loss"] = with_gradients_taken(terms["loss"], list(heads[name].learned.values()))
            losses[name] = terms
        return losses

    def loss_of(self, head: str) -> PointSampledMaskLoss:
        """The loss that a head is trained by."""
        return self.variant_losses.get(variant_of(head), self.loss)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Sum of the variants' losses on their HQ logits."""
        losses, variants = self.losses(batch), list(self.trained)
        for name in variants:
            self.log_dict(
                {f"train/{name}/{term}": value.detach() for term, value in losses[name].items()},
                batch_size=len(batch.masks),
            )
        shown = torch.stack([losses[name]["loss"].detach() for name in variants]).sum()
        self.log("train/loss", shown, prog_bar=True, batch_size=len(batch.masks))
        return torch.stack([terms["loss"] for terms in losses.values()]).sum()

    def first_not_finite(self, batch: Batch) -> str | None:
        """Names the first of features, losses and their parts that is NaN or infinite for a batch; None if none is."""
        if any(head.own_encoder is None for head in self.trained.values()):
            features = self.sam.features(batch.images)
            if not all(torch.isfinite(value).all() for value in (features.image_embeddings, features.early)):
                return "the features of the frozen SAM"
        weights = batch.mask_weights()
        for name, logits in predictions(self.sam, self.learning, batch):
            if not torch.isfinite(logits.select("hq")).all():
                return f"the logits of variant {name}"
            for term, value in self.loss_of(name)(logits.hq, batch.masks, batch.seeds, weights).items():
                if not torch.isfinite(value).all():
                    return f"the loss of variant {name} ({term})"
        return None

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Scores every row at original size.

        Returns:
            For the pictures: "logits", the (N, 1, 4h, 4w) logits of each row, and "scores", the batch's table.
        """
        heads = self.heads if self.fold_heads is None else self.fold_heads.scoring(self.heads, batch)
        model = Model(self.sam, heads, masks_at_once=len(batch.image_index))
        logits = model.encode(batch.images).logits(batch.prompts, batch.image_index)
        if self.fold_heads is not None:
            logits = self.fold_heads.merged(logits, batch)
        return {"logits": logits, "scores": self.scorer.update(batch, logits)}

    def on_validation_epoch_start(self) -> None:
        """Begins with no scores."""
        self.scorer.reset()

    def on_validation_epoch_end(self) -> None:
        """Gathers the masks' scores and logs the means of each set; those of thin and solid objects too."""
        if self.trainer.sanity_checking:
            return
        self.scores = self.scorer.compute()
        self.scored_step = self.trainer.global_step
        means = summarise(self.scores)
        keys = means[["dataset", "prompts", "variant", "output", "group_of_objects", "metric"]]
        logged = dict(zip(map(self.log_key, *keys.to_numpy().T), means["mean"], strict=True))
        for variant, values in self.objectives.items():
            logged |= {f"val/{variant}/{metric}": value for metric, value in values.items()}
        self.log_dict(logged)

    def log_key(self, dataset: str, prompts: str, variant: str, output: str, group: str, metric: str) -> str:
        """What a mean of a validation is logged as; where there is one kind of prompts, they are not named."""
        place = [dataset, *([prompts] if len(self.scorer.prompts) > 1 else []), variant, output]
        return "/".join(["val", *place, metric if group == "all" else f"{group}_{metric}"])

    @property
    def objectives(self) -> dict[str, dict[str, float]]:
        """Means over the sets at the last validation, by trained variant and metric; empty where nothing was scored.

        Of all objects, with the main prompts, by the output that the variant is judged by.
        """
        if self.scores.empty:
            return {}
        means = summarise(self.scores)
        rows = {name: (name, self.output_of(name)) for name in self.trained}
        return {name: mean_over_sets(means, row, self.scorer.prompts[0]) for name, row in rows.items()}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """One optimiser over the variants' parameters; none is shared, so it acts on each as if alone."""
        optimizer = self._optimizer([value for head in self.learning.values() for value in head.learned.values()])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._scheduler(optimizer), "interval": "epoch"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the variants' state alone, with what it belongs to; a `CheckpointError` where it is not finite."""
        checkpoint["state_dict"] = {key: checkpoint["state_dict"][key] for key in self.trainable_state}
        require_finite(checkpoint["state_dict"])
        checkpoint[INFO_KEY] = self._info()

    def variant_checkpoint(self, variant: str, output: str | None = None) -> dict[str, Any]:
        """A checkpoint of one variant alone, to resume no run from; a `CheckpointError` where it is not finite.

        Args:
            variant: its name.
            output: the logits that were chosen for it, see `hqsam_lightning.evaluation.choosing`; None is no choice.
        """
        mine = f"variants.{variant}."
        state = {key: value.detach() for key, value in self.trainable_state.items() if key.startswith(mine)}
        require_finite(state)
        steps = {"epoch": self.trainer.current_epoch, "global_step": self.trainer.global_step}
        chosen = {} if output is None else {"output": output}
        return {**steps, "state_dict": state, INFO_KEY: {**self._info(), **chosen}}

    def _info(self) -> dict[str, Any]:
        facts = self._config, self.data_facts, self.begun_from
        return checkpoint_info(self.sam.name, self.sam.weights_sha256, *facts)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises a `CheckpointError` where the checkpoint is of another SAM or of other variants."""
        if INFO_KEY not in checkpoint:
            raise CheckpointError("checkpoint: expected one written by hqsam_lightning; it is of another kind")
        check_checkpoint(checkpoint, self.trainable_state, self.sam.name, self.sam.weights_sha256)


def with_gradients_taken(loss: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    """A scalar of the value and the gradients of `loss`, whose own graph is freed.

    Args:
        loss: scalar that every one of the parameters takes part in.
        parameters: the only ones whose gradients are wanted.
    """
    gradients = torch.autograd.grad(loss, parameters)
    linear = torch.stack(
        [(gradient * value).sum() for gradient, value in zip(gradients, parameters, strict=True)]
    ).sum()
    return loss.detach() + (linear - linear.detach())
