"""NaN is noticed at its step, and its source is looked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from omegaconf import DictConfig

from hqsam_lightning import train as training
from hqsam_lightning.errors import DivergedError
from hqsam_lightning.training.finite import FiniteWatch, Seen
from hqsam_lightning.training.module import HQSamModule

TINY = ("sam=tiny_random", "trainer=cpu", "trainer.max_epochs=1", "data.train_size=4", "data.val_size=1")
TINY = (*TINY, "data.image_size=64", "batch.total=1", "loader.num_workers=0", "loss.num_points=32")
TINY = (*TINY, "~callbacks.progress_bar", "~callbacks.panels", "trainer.num_sanity_val_steps=0")


class Poison(L.Callback):
    """Puts NaN, infinity or too large weights somewhere when the third step begins."""

    def __init__(self, where: str) -> None:
        self.where = where

    def on_train_batch_start(self, trainer: L.Trainer, module: HQSamModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step != 2:
            return
        if self.where == "frozen":
            next(module.sam.parameters()).data.view(-1)[0] = torch.nan
        elif self.where == "features":
            module.sam.encode = lambda images, encode=module.sam.encode: _broken(encode(images))
        elif self.where == "huge weights":
            for value in module.trained["hq"].learned.values():
                value.data.fill_(1e30)
        elif self.where == "weights":
            next(iter(module.trained["hq"].learned.values())).data.view(-1)[0] = torch.inf
        elif self.where == "masks":
            batch.masks.fill_(torch.nan)
        elif self.where == "loss":
            module.loss.forward = _infinite(module.loss.forward)
        else:
            parameter = next(iter(module.trained["hq"].learned.values()))
            parameter.register_hook(lambda gradient: gradient * torch.nan)


def _broken(features: Any) -> Any:
    features.image_embeddings[0, 0, 0, 0] = torch.nan
    return features


def _infinite(loss: Callable[..., dict[str, torch.Tensor]]) -> Callable[..., dict[str, torch.Tensor]]:
    def broken(*arguments: Any) -> dict[str, torch.Tensor]:
        terms = loss(*arguments)
        return {**terms, "loss": terms["loss"] * torch.inf}

    return broken


@pytest.mark.parametrize(
    ("where", "expected", "remedy"),
    [
        ("frozen", r"the frozen weights sam\.", "sound sam.weights"),
        ("features", "the features of the frozen SAM", "sam.precision=fp32"),
        ("huge weights", "the logits of variant hq", "lower optimizer.lr"),
        ("masks", "the batch's masks", "check these samples' files"),
        ("weights", r"the weights variants\.hq\..*, which the step before left so", "lower optimizer.lr"),
        ("loss", r"the loss of variant hq \(loss\)", "lower optimizer.lr"),
        ("gradients", r"the gradients of variants\.hq\.", "lower optimizer.lr"),
    ],
)
def test_the_source_is_named(
    make_config: Callable[..., DictConfig],
    tmp_path: Path,
    where: str,
    expected: str,
    remedy: str,
) -> None:
    config = make_config(
        *TINY,
        "callbacks.last.every_n_steps=2",
        f"+callbacks.poison={{_target_:{Poison.__module__}.Poison,where:{where}}}",
    )
    with pytest.raises(DivergedError, match=rf"step 3 \(epoch 0\): .* infinite are {expected}") as caught:
        training.train(config)
    message = str(caught.value)
    assert remedy in message
    assert "samples of the step: synthetic/train/" in message
    assert f"{tmp_path / 'run' / 'checkpoints' / 'last.ckpt'} holds step 2" in message


def test_elsewhere_than_on_the_cpu_it_looks_before_a_checkpoint_is_saved() -> None:
    """Flags of several steps; the first bad one is named."""
    watch = FiniteWatch(None)
    watch._seen = [Seen(step, 0, [f"birds/{step}"], None, [torch.tensor(step < 3)]) for step in (1, 2, 3, 4)]
    with pytest.raises(
        DivergedError, match=r"step 3 \(epoch 0\).*the loss; samples of the step: birds/3; no checkpoint"
    ):
        watch.on_save_checkpoint(None, L.LightningModule(), {})
