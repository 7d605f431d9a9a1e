"""Order of the samples, and a loader that resumes in mid-epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import Sampler

from hqsam_lightning.data.watched_loading import WatchedLoader
from hqsam_lightning.seeding import derive_rng
from hqsam_lightning.types import Batch


def draws_an_epoch(length: int, weight: float) -> int:
    """How many samples a source of `length` photos gives an epoch."""
    return round(length * weight)


class EpochSampler(Sampler[tuple[int, int, int]]):
    """A rank's share of an epoch's order, which is a function of (seed, epoch) alone.

    The order is cut into optimiser steps; rank r takes the r-th part of each. So the samples of a step do not depend on
    the number of ranks. What does not fill a last step is left out, as the authors do.

    Args:
        lengths: number of samples of each source; indices run through them in turn.
        weights: how often a source's sample is drawn an epoch, on average; 1 for each is every sample once.
        share: samples a rank and optimiser step.
        seed: the run's seed.
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        weights: Sequence[float],
        share: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.lengths = list(lengths)
        self.draws = [draws_an_epoch(length, weight) for length, weight in zip(lengths, weights, strict=True)]
        self.share = share
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch whose order the next iteration gives; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(self.draws) // (self.share * self.world_size) * self.share

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Yields (epoch, index, repeat) keys, from the rank's sample number `start` on."""
        order = self._order()
        for position in range(self.start, len(self)):
            step, place = divmod(position, self.share)
            index, repeat = order[(step * self.world_size + self.rank) * self.share + place]
            yield self.epoch, index, repeat

    def _order(self) -> list[tuple[int, int]]:
        rng = derive_rng(self.seed, self.epoch, "order")
        drawn: list[tuple[int, int]] = []
        offset = 0
        for length, draws in zip(self.lengths, self.draws, strict=True):
            for first in range(0, draws, length):
                picked = rng.permutation(length)[: draws - first]
                drawn += [(offset + int(index), first // length) for index in picked]
            offset += length
        return [drawn[position] for position in rng.permutation(len(drawn))]


class ResumableLoader(WatchedLoader):
    """A loader over an `EpochSampler` that Lightning can save and restore in mid-epoch.

    Lightning creates its iterator before it tells the sampler the epoch, so reading starts at the first `next`.
    """

    sampler: EpochSampler
    _yielded = 0
    _restored: dict[str, int] | None = None

    @property
    def _images(self) -> int:
        """Images per batch over all processes."""
        return (self.batch_size or 1) * self.sampler.world_size

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """Yields the batches of the sampler's epoch that a restored run has not seen."""
        restored, self._restored = self._restored, None
        resumes = restored is not None and restored["epoch"] == self.sampler.epoch
        self._yielded = restored["images"] // self._images if restored is not None and resumes else 0
        self.sampler.start = self._yielded * (self.batch_size or 1)
        for batch in super().__iter__():
            self._yielded += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Position in the data, whatever the number of processes: the epoch and how many of its images were given."""
        if self._restored is not None:
            return self._restored
        return {"epoch": self.sampler.epoch, "images": self._yielded * self._images}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues behind the images of `state`, which end an optimiser step, when the epoch it names is run."""
        self._restored = state
