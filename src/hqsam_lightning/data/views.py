"""Augmented views of the training samples: made of photos and masks, or read from an embedding cache."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from hqsam_lightning.checks import choice, integer, optional, require
from hqsam_lightning.data.cache import EmbeddingCache
from hqsam_lightning.data.datasets import SampleSet
from hqsam_lightning.data.transforms import Augmentation, clear_ignored
from hqsam_lightning.seeding import derive_seed
from hqsam_lightning.types import Sample, View

DECODES = ("exact", "reduced")


class Views(Protocol):
    """Gives the view of a sample that an epoch shows."""

    def __len__(self) -> int: ...

    def draw(self, index: int, epoch: int, repeat: int) -> View:
        """Gives one view."""
        ...


class OnlineViews:
    """Views made on request; each is a function of (seed, sample id, number of the view).

    Args:
        samples: what is trained on.
        augmentation: flip, jitter and looks.
        seed: the run's seed.
        count: K views a sample, which the epochs show in turn; None is a new one every time.
        decode: "exact", or "reduced": a JPEG that the jitter shrinks is decoded at a smaller scale, which is faster and
            antialiases what the authors alias.

    Raises:
        ConfigError: for a count under 1, or an unknown decode.
    """

    def __init__(
        self,
        samples: SampleSet,
        augmentation: Augmentation,
        seed: int,
        count: int | None = None,
        decode: str = "exact",
    ) -> None:
        require("data.decode", decode, choice(*DECODES))
        require("augmentations_per_image", count, optional(integer(1)))
        self.samples = samples
        self.augmentation = augmentation
        self.seed = seed
        self.count = count
        self.decode = decode

    def __len__(self) -> int:
        return len(self.samples)

    def draw(self, index: int, epoch: int, repeat: int) -> View:
        """Makes the view that an epoch shows of a sample."""
        if self.count is None:
            return self._make(index, epoch, repeat)
        return self.make(index, view_of(epoch, repeat, self.count))

    def make(self, index: int, view: int) -> View:
        """Makes one of a sample's K views."""
        return self._make(index, view, 0)

    def _make(self, index: int, epoch: int, repeat: int) -> View:
        sample = clear_ignored(self._read(index, epoch, repeat))
        seed = self._draw_seed(sample.sample_id, epoch, repeat)
        image, masks, ignore = self.augmentation(sample.image, sample.masks, seed, sample.ignore)
        return View(
            to_chw(image), torch.from_numpy(masks)[:, None], sample.sample_id, sample.dataset, to_tensor(ignore)
        )

    def _read(self, index: int, epoch: int, repeat: int) -> Sample:
        if self.decode == "exact":
            return self.samples[index]
        seed = self._draw_seed(self.samples.identify(index).sample_id, epoch, repeat)
        return self.samples.reduced(index, self.augmentation.longest(seed))

    def _draw_seed(self, sample_id: str, epoch: int, repeat: int) -> int:
        return derive_seed(self.seed, epoch, repeat, sample_id, "augmentation")


class CachedViews:
    """The same views as features and masks from an embedding cache.

    Args:
        samples: what is trained on; nothing of it is read but its identities.
        cache: that holds their views.

    Raises:
        CacheError: a sample is not in the cache, or has changed since.
    """

    def __init__(self, samples: SampleSet, cache: EmbeddingCache) -> None:
        self.cache = cache
        self.identities = [samples.identify(index) for index in range(len(samples))]
        self.positions = cache.positions(self.identities)

    def __len__(self) -> int:
        return len(self.positions)

    def draw(self, index: int, epoch: int, repeat: int) -> View:
        """Reads the view that an epoch shows of a sample."""
        features, masks, ignore = self.cache.read(self.positions[index], view_of(epoch, repeat, self.cache.views))
        identity = self.identities[index]
        return View(features, masks, identity.sample_id, identity.dataset, ignore)


def view_of(epoch: int, repeat: int, count: int) -> int:
    """Number of the view, of `count`, that an epoch shows; samples drawn more than once show further ones."""
    return (epoch + repeat) % count


def to_tensor(ignore: np.ndarray | None) -> Tensor | None:
    """(H, W) ignored pixels to a (1, H, W) tensor."""
    return None if ignore is None else torch.from_numpy(ignore)[None]


def to_chw(image: np.ndarray) -> Tensor:
    """(H, W, 3) array to (3, H, W) tensor."""
    planes = np.empty((3, *image.shape[:2]), image.dtype)
    cv2.split(image, list(planes))  # several times as fast as a transposed copy
    return torch.from_numpy(planes)
