"""The LightningDataModule: merged sources with jitter and prompts for training, validation sets at original size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
import torch

from hqsam_lightning.checks import arguments, integer, require
from hqsam_lightning.data.cache import EmbeddingCache
from hqsam_lightning.data.collate import collate
from hqsam_lightning.data.datasets import MergedSets
from hqsam_lightning.data.examples import EvaluationExamples, TrainingExamples
from hqsam_lightning.data.framing import Stretch
from hqsam_lightning.data.sampling import EpochSampler, ResumableLoader
from hqsam_lightning.data.sets import DataSets
from hqsam_lightning.data.transforms import Augmentation
from hqsam_lightning.data.watched_loading import WatchedLoader, sample_name
from hqsam_lightning.data.zoom import require_boxes
from hqsam_lightning.prompts.mix import PromptMix
from hqsam_lightning.runtime.process_settings import BeginLoading


class PromptedDataModule(L.LightningDataModule):
    """Gives `Batch`es of prompted masks.

    Args:
        sets: what to train and validate on.
        augmentation: flip and jitter of the training samples.
        prompts: draws the training prompts.
        val_prompts: draw the validation prompts, by name; every mask gets each kind, and the first is the main one.
        image_size: side of the model's input frame.
        mask_input_size: side of the prompt encoder's mask input.
        batch_size: images per process and forward pass.
        accumulate: forward passes per optimiser step.
        seed: order, augmentation and prompts are functions of it.
        num_workers: loading processes per process.
        loader_timeout: seconds within which a loading process must give a batch; 0 waits for ever.
        begin_loading: sets up a loading process.
        views: augmented views of a training sample, which the epochs show in turn; None is a new one every time.
        cache: holds the training samples' views, and may hold the validation images, whole; None encodes all of them.
        margins: of the frames that validation shows prompts in, see `hqsam_lightning.data.framing.Frame`.

    Raises:
        ConfigError: a number is out of its range.
    """

    allow_zero_length_dataloader_with_multiple_devices = True

    @arguments("data", image_size=integer(1), mask_input_size=integer(1), batch_size=integer(1), accumulate=integer(1))
    def __init__(
        self,
        sets: DataSets,
        augmentation: Augmentation,
        prompts: PromptMix,
        val_prompts: Mapping[str, PromptMix],
        image_size: int,
        mask_input_size: int,
        batch_size: int,
        accumulate: int,
        seed: int,
        num_workers: int = 0,
        loader_timeout: float = 600,
        begin_loading: BeginLoading | None = None,
        views: int | None = None,
        cache: EmbeddingCache | None = None,
        margins: Sequence[float | None] = (None,),
    ) -> None:
        super().__init__()
        if any(margin is not None for margin in margins):
            require_boxes(val_prompts)
        self.sets = sets
        self.batch_size = batch_size
        self.accumulate = accumulate
        self.seed = seed
        require("seed", seed, integer(0, 2**32 - 1))
        require("loader.num_workers", num_workers, integer(0))
        self.num_workers = num_workers
        self.loader_timeout = loader_timeout
        self.begin_loading = begin_loading or BeginLoading()
        samples = MergedSets([samples for samples, _ in sets.train])
        self.training = TrainingExamples(samples, augmentation, prompts, mask_input_size, seed, views, cache)
        self.validation = [
            EvaluationExamples(
                samples,
                frame,
                {kind + frame.suffix: prompts for kind, prompts in val_prompts.items()},
                mask_input_size,
                name,
                cache if frame.margin is None else None,
            )
            for frame in (Stretch(image_size, margin) for margin in margins)
            for name, samples in sets.validation.items()
        ]

    def train_dataloader(self) -> ResumableLoader:
        """One loader over all sources, which resumes in mid-epoch."""
        sampler = EpochSampler(
            [len(samples) for samples, _ in self.sets.train],
            [weight for _, weight in self.sets.train],
            self.batch_size * self.accumulate,
            self.seed,
            *self._rank(),
        )
        return ResumableLoader(
            self.training,
            name_of=lambda key: sample_name(self.training.samples, key[1]),
            sampler=sampler,
            drop_last=True,
            persistent_workers=self.num_workers > 0,
            **self._loading(),
        )

    def val_dataloader(self) -> list[WatchedLoader]:
        """A loader per frame and validation set."""
        return [self._val_loader(examples) for examples in self.validation]

    def _val_loader(self, examples: EvaluationExamples) -> WatchedLoader:
        rank, processes = self._rank()
        return WatchedLoader(
            examples,
            name_of=lambda key: sample_name(examples.samples, key[0]),
            sampler=range(rank, len(examples), processes),  # no sample twice: processes may differ by one
            **self._loading(),
        )

    def _loading(self) -> dict[str, Any]:
        return {
            "batch_size": self.batch_size,
            "collate_fn": collate,
            "num_workers": self.num_workers,
            "timeout": self.loader_timeout,
            "worker_init_fn": self.begin_loading,
            "pin_memory": self._on_cuda(),
        }

    def _on_cuda(self) -> bool:
        if self.trainer is None:
            return torch.cuda.is_available()
        return self.trainer.strategy.root_device.type == "cuda"

    def _rank(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size
