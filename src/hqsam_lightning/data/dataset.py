"""Photos and masks as read, and the examples made of them for training and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hqsam_lightning.data.reading import read_pair
from hqsam_lightning.data.transforms import Augmentation, stretch
from hqsam_lightning.prompts.mix import PromptMix
from hqsam_lightning.seeding import derive_rng, derive_seed
from hqsam_lightning.types import OBJECT_THRESHOLD, Example, Prompt, Sample


class SampleSet(Protocol):
    """Anything that gives samples by index: files, procedural scenes."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


class PhotoFolder:
    """Pairs of photo and mask files of one source.

    Args:
        name: the source's name, which begins its sample ids.
        pairs: (photo, mask) paths; the photos' stems are unique.
    """

    def __init__(self, name: str, pairs: Sequence[tuple[Path, Path]]) -> None:
        self.name = name
        self.pairs = list(pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """Reads one pair.

        Raises:
            DataError: naming the file that is damaged, empty or of another size.
        """
        photo, mask_path = self.pairs[index]
        image, mask = read_pair(photo, mask_path)
        return Sample(image, mask[None], f"{self.name}/{photo.stem}", self.name)


class TrainingExamples(Dataset[Example]):
    """Augmented examples; augmentation and prompt are functions of (seed, epoch, sample id).

    Args:
        samples: what is trained on.
        augmentation: flip and jitter.
        prompts: draws each mask's prompt.
        mask_input_size: side of the prompt encoder's mask input.
        seed: the run's seed.
    """

    def __init__(
        self, samples: SampleSet, augmentation: Augmentation, prompts: PromptMix, mask_input_size: int, seed: int
    ) -> None:
        self.samples = samples
        self.augmentation = augmentation
        self.prompts = prompts
        self.mask_input_size = mask_input_size
        self.seed = seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int, int]) -> Example:
        """Makes the example of a sampler's (epoch, index, repeat) key.

        `repeat` tells apart the draws of a sample that its source's weight shows several times in one epoch.
        """
        epoch, index, repeat = key
        sample = self.samples[index]
        keys = (self.seed, epoch, repeat, sample.sample_id)
        image, masks = self.augmentation(sample.image, sample.masks, derive_seed(*keys, "augmentation"))
        tensors = torch.from_numpy(masks)[:, None]
        return Example(
            image=_to_chw(image),
            masks=tensors,
            prompts=_draw_prompts(tensors, self.prompts, self.mask_input_size, keys),
            seeds=[derive_seed(*keys, "loss", row) for row in range(len(tensors))],
            original_masks=None,
            sample_id=sample.sample_id,
            dataset=sample.dataset,
        )


class EvaluationExamples(Dataset[Example]):
    """Stretched examples with their original masks; the prompts are functions of the sample's id alone.

    Args:
        samples: what is evaluated on.
        image_size: side of the model's input frame.
        prompts: draws each mask's prompt.
        mask_input_size: side of the prompt encoder's mask input.
    """

    def __init__(self, samples: SampleSet, image_size: int, prompts: PromptMix, mask_input_size: int) -> None:
        self.samples = samples
        self.image_size = image_size
        self.prompts = prompts
        self.mask_input_size = mask_input_size

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Example:
        """Reads and stretches one sample."""
        sample = self.samples[index]
        image, masks = stretch(sample.image, sample.masks, self.image_size)
        tensors = torch.from_numpy(masks)[:, None]
        return Example(
            image=_to_chw(image),
            masks=tensors,
            prompts=_draw_prompts(tensors, self.prompts, self.mask_input_size, ("evaluation", sample.sample_id)),
            seeds=[derive_seed("evaluation", sample.sample_id, row) for row in range(len(tensors))],
            original_masks=torch.from_numpy(sample.masks > OBJECT_THRESHOLD),
            sample_id=sample.sample_id,
            dataset=sample.dataset,
        )


def _draw_prompts(masks: Tensor, prompts: PromptMix, mask_input_size: int, keys: tuple[int | str, ...]) -> list[Prompt]:
    return [prompts.draw(mask, mask_input_size, derive_rng(*keys, "prompt", row)) for row, mask in enumerate(masks)]


def _to_chw(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
