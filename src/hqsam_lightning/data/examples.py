"""Examples: samples in the model's input frame with their prompts, augmented for training, as they are for evaluation.

Their images are made of the photos, or are the features that an embedding cache holds of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.data import Dataset

from hqsam_lightning.checks import integer, optional, require
from hqsam_lightning.data.cache import EmbeddingCache
from hqsam_lightning.data.datasets import SampleSet
from hqsam_lightning.data.framing import Frame, to_planes
from hqsam_lightning.data.transforms import Augmentation, Framed, clear_ignored
from hqsam_lightning.data.zoom import cut_photo
from hqsam_lightning.prompts.mix import Prompter, PromptMix
from hqsam_lightning.seeding import derive_rng, derive_seed
from hqsam_lightning.types import OBJECT_THRESHOLD, Example, Prompt, Sample, StoredFeatures


class TrainingExamples(Dataset[Example]):
    """Augmented samples with prompts; a prompt is a function of (seed, epoch, sample id).

    Args:
        samples: what is trained on; with a cache, nothing of it is read but its identities.
        augmentation: flip, jitter and looks.
        prompts: draws each mask's prompt.
        mask_input_size: side of the prompt encoder's mask input.
        seed: the run's seed.
        views: K augmented views per sample, which the epochs show in turn; None is a new one every time.
        cache: holds the views; None makes them of the photos.

    Raises:
        ConfigError: for views under 1.
        CacheError: a sample is not in the cache, or has changed since.
    """

    def __init__(
        self,
        samples: SampleSet,
        augmentation: Augmentation,
        prompts: PromptMix,
        mask_input_size: int,
        seed: int,
        views: int | None = None,
        cache: EmbeddingCache | None = None,
    ) -> None:
        require("augmentations_per_image", views, optional(integer(1)))
        self.samples = samples
        self.augmentation = augmentation
        self.prompts = prompts
        self.mask_input_size = mask_input_size
        self.seed = seed
        self.views = views
        self.cache = cache
        self._identities = [samples.identify(index) for index in range(len(samples))] if cache else []
        self._entries = cache.training_entries(self._identities) if cache else []

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int, int]) -> Example:
        """Makes the example of a sampler's (epoch, index, repeat) key.

        `repeat` tells apart the draws of a sample that its source's weight shows several times in one epoch.
        """
        epoch, index, repeat = key
        view = self.view(index, epoch, repeat)
        keys = (self.seed, epoch, repeat, view.sample_id)
        return replace(
            view,
            prompts={"": _draw_prompts(view.masks, self.prompts, self.mask_input_size, keys)},
            seeds=[derive_seed(*keys, "loss", row) for row in range(len(view.masks))],
        )

    def view(self, index: int, epoch: int, repeat: int) -> Example:
        """The view of a sample that an epoch shows, without prompts; the repeats of a sample show further ones."""
        if self.cache is not None:
            identity = self._identities[index]
            entry = self._entries[index] + (epoch + repeat) % self.cache.views
            features, masks, ignore = self.cache.read(entry)
            return Example(features, masks, identity.sample_id, identity.dataset, ignore)
        if self.views is not None:
            epoch, repeat = (epoch + repeat) % self.views, 0
        return augmented(self.samples[index], self.augmentation, self.seed, epoch, repeat)


class EvaluationExamples(Dataset[Example]):
    """Samples in the model's frame with their original masks; the prompts are functions of the sample's id alone.

    Args:
        samples: what is evaluated on.
        frame: fits images, or the cut of each prompt, into the model's frame.
        prompts: draw each mask's prompts, by name.
        mask_input_size: side of the prompt encoder's mask input.
        name: of the set.
        cache: of stretched images, whose features are used where it holds all of the samples as they are now.
    """

    def __init__(
        self,
        samples: SampleSet,
        frame: Frame,
        prompts: Mapping[str, Prompter],
        mask_input_size: int,
        name: str,
        cache: EmbeddingCache | None = None,
    ) -> None:
        self.samples = samples
        self.name = name
        self.frame = frame
        self.prompts = prompts
        self.mask_input_size = mask_input_size
        self.cache = cache
        identities = [samples.identify(index) for index in range(len(samples))] if cache else []
        self._entries = cache.validation_entries(name, identities) if cache else None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Example:
        """Reads one sample and fits it into the frame, or leaves that to the encoder where each prompt has a cut."""
        if self.frame.margin is not None:
            return self._to_cut(self.samples[index])
        example = unchanged(self.samples[index], self.frame)
        keys = ("evaluation", example.sample_id)
        if self.cache is not None and self._entries is not None:
            stored = self.cache.read(self._entries[index])[0]
            assert isinstance(example.image, Tensor)
            example.image = StoredFeatures(stored.image_embeddings, stored.early, example.image)
        return replace(
            example,
            dataset=self.name,
            prompts=self._drawn(example.masks, keys),
            seeds=[derive_seed(*keys, row) for row in range(len(example.masks))],
        )

    def _to_cut(self, sample: Sample) -> Example:
        """The example of a sample whose prompts, drawn at its own size, are each shown a cut of it."""
        sample = clear_ignored(sample)
        drawn = self._drawn(torch.from_numpy(sample.masks)[:, None], ("evaluation", sample.sample_id))
        photo, prompts = cut_photo(sample.image, drawn, self.frame)
        masks = torch.zeros(len(sample.masks), 1, 0, 0)
        example = Example(photo, masks, sample.sample_id, self.name, prompts=prompts)
        return _with_originals(example, sample)

    def _drawn(self, masks: Tensor, keys: tuple[int | str, ...]) -> dict[str, list[Prompt]]:
        """Prompts of (M, 1, H, W) masks by name."""
        return {
            name: _draw_prompts(masks, prompts, self.mask_input_size, keys) for name, prompts in self.prompts.items()
        }


def augmented(sample: Sample, augmentation: Augmentation, seed: int, epoch: int, repeat: int = 0) -> Example:
    """One augmented view of a sample, without prompts: a function of the sample and the numbers."""
    sample = clear_ignored(sample)
    draw = derive_seed(seed, epoch, repeat, sample.sample_id, "augmentation")
    return _in_frame(sample, augmentation(sample.image, sample.masks, draw, sample.ignore))


def unchanged(sample: Sample, frame: Frame) -> Example:
    """A sample as it is evaluated, without prompts."""
    sample = clear_ignored(sample)
    return _with_originals(_in_frame(sample, frame.place(sample.image, sample.masks, sample.ignore)), sample)


def _with_originals(example: Example, sample: Sample) -> Example:
    """The example with what it is scored by, at the photo's own size."""
    return replace(
        example,
        original_masks=torch.from_numpy(sample.masks > OBJECT_THRESHOLD),
        original_ignore=None if sample.ignore is None else torch.from_numpy(sample.ignore),
    )


def _in_frame(sample: Sample, framed: Framed) -> Example:
    ignore = None if framed.ignore is None else torch.from_numpy(framed.ignore)[None]
    masks = torch.from_numpy(framed.masks)[:, None]
    return Example(to_planes(framed.image), masks, sample.sample_id, sample.dataset, ignore)


def _draw_prompts(masks: Tensor, prompts: Prompter, mask_input_size: int, keys: tuple[int | str, ...]) -> list[Prompt]:
    return [prompts.draw(mask, mask_input_size, derive_rng(*keys, "prompt", row)) for row, mask in enumerate(masks)]
