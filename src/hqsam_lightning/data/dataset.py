"""Examples for training and evaluation: views of samples with their prompts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.utils.data import Dataset

from hqsam_lightning.data.datasets import SampleSet
from hqsam_lightning.data.framing import Frame, Stretch
from hqsam_lightning.data.transforms import clear_ignored
from hqsam_lightning.data.views import Views, to_chw, to_tensor
from hqsam_lightning.prompts.mix import PromptMix
from hqsam_lightning.seeding import derive_rng, derive_seed
from hqsam_lightning.types import OBJECT_THRESHOLD, Example, Prompt


class TrainingExamples(Dataset[Example]):
    """Augmented views with prompts; a prompt is a function of (seed, epoch, sample id).

    Args:
        views: of the training samples.
        prompts: draws each mask's prompt.
        mask_input_size: side of the prompt encoder's mask input.
        seed: the run's seed.
    """

    def __init__(self, views: Views, prompts: PromptMix, mask_input_size: int, seed: int) -> None:
        self.views = views
        self.prompts = prompts
        self.mask_input_size = mask_input_size
        self.seed = seed

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, key: tuple[int, int, int]) -> Example:
        """Makes the example of a sampler's (epoch, index, repeat) key.

        `repeat` tells apart the draws of a sample that its source's weight shows several times in one epoch.
        """
        epoch, index, repeat = key
        view = self.views.draw(index, epoch, repeat)
        keys = (self.seed, epoch, repeat, view.sample_id)
        return Example(
            image=view.image,
            masks=view.masks,
            prompts={"": _draw_prompts(view.masks, self.prompts, self.mask_input_size, keys)},
            seeds=[derive_seed(*keys, "loss", row) for row in range(len(view.masks))],
            original_masks=None,
            sample_id=view.sample_id,
            dataset=view.dataset,
            ignore=view.ignore,
        )


class EvaluationExamples(Dataset[Example]):
    """Examples in the model's frame with their original masks; the prompts are functions of the sample's id alone.

    Args:
        samples: what is evaluated on.
        image_size: side of the model's input frame.
        prompts: draw each mask's prompts, by name.
        mask_input_size: side of the prompt encoder's mask input.
        name: of the set.
        frame: fits images into the model's frame; None stretches them.
    """

    def __init__(
        self,
        samples: SampleSet,
        image_size: int,
        prompts: Mapping[str, PromptMix],
        mask_input_size: int,
        name: str,
        frame: Frame | None = None,
    ) -> None:
        self.samples = samples
        self.name = name
        self.frame = frame or Stretch(image_size)
        self.prompts = prompts
        self.mask_input_size = mask_input_size

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Example:
        """Reads one sample and fits it into the frame."""
        sample = clear_ignored(self.samples[index])
        image, masks, ignore = self.frame.place(sample.image, sample.masks, sample.ignore)
        tensors = torch.from_numpy(masks)[:, None]
        keys = ("evaluation", sample.sample_id)
        return Example(
            image=to_chw(image),
            masks=tensors,
            prompts={
                name: _draw_prompts(tensors, prompts, self.mask_input_size, keys)
                for name, prompts in self.prompts.items()
            },
            seeds=[derive_seed(*keys, row) for row in range(len(tensors))],
            original_masks=torch.from_numpy(sample.masks > OBJECT_THRESHOLD),
            sample_id=sample.sample_id,
            dataset=self.name,
            ignore=to_tensor(ignore),
            original_ignore=None if sample.ignore is None else torch.from_numpy(sample.ignore),
        )


def _draw_prompts(masks: Tensor, prompts: PromptMix, mask_input_size: int, keys: tuple[int | str, ...]) -> list[Prompt]:
    return [prompts.draw(mask, mask_input_size, derive_rng(*keys, "prompt", row)) for row, mask in enumerate(masks)]
