"""Writes an embedding cache: shard by shard, each whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from hqsam_lightning.data.cache import (
    INDEX_FILE,
    KIND,
    REMEDY,
    VERSION,
    CacheIndex,
    missing_shards,
    pack_masks,
)
from hqsam_lightning.data.datasets import SampleSet
from hqsam_lightning.data.examples import augmented, unchanged
from hqsam_lightning.data.framing import Stretch
from hqsam_lightning.data.shards import Entry, Place, pack_shard, shard_path
from hqsam_lightning.data.transforms import Augmentation
from hqsam_lightning.errors import CacheError
from hqsam_lightning.storage.files import require_space, write_document, write_whole
from hqsam_lightning.types import Example, SamFeatures

log = logging.getLogger(__name__)

Encode = Callable[[Tensor], SamFeatures]
"""Gives the features of (B, 3, H, W) uint8 images."""

SAMPLES_WEIGHED = 16
"""Samples whose masks are counted to estimate how large a cache gets."""


def begin_cache(folder: Path, index: CacheIndex) -> list[Place]:
    """Makes the folder of a cache, or makes sure that it holds the same one, begun before; no other process may write.

    Returns:
        The places of the shards that are still to be written.

    Raises:
        CacheError: the folder holds a cache, or a shard, of other facts or images; nothing is written then.
        StorageError: the folder cannot be written.
    """
    stored = CacheIndex.read(folder)
    if stored is not None:
        stored.refuse_other_facts(folder, index.facts)
        if (stored.images, stored.validation) != (index.images, index.validation):
            raise CacheError(
                f"cache={folder}: expected a cache of these {len(index.images)} training and "
                f"{len(index.validation)} validation images; {REMEDY}"
            )
    missing = missing_shards(folder, index.places())
    for pattern in (".[0-9]*.safetensors.*.part", f".{INDEX_FILE}.*.part"):
        for path in folder.glob(pattern):
            log.info("%s: half written by a process that was killed; removed", path)
            path.unlink(missing_ok=True)
    if stored is None:
        write_document(folder / INDEX_FILE, KIND, VERSION, index.body)
    return missing


@dataclass(frozen=True)
class Entries(Dataset[Example]):
    """The entries of a cache, as images, by number.

    Attributes:
        train: what is trained on.
        validation: what is validated on.
        augmentation: of the training samples.
        seed: the run's seed.
        views: augmented views per training sample.
    """

    train: SampleSet
    validation: SampleSet
    augmentation: Augmentation
    seed: int
    views: int

    def __getitem__(self, entry: int) -> Example:
        samples, index, view = self.find(entry)
        if samples is self.train:
            return augmented(samples[index], self.augmentation, self.seed, view)
        example = unchanged(samples[index], Stretch(self.augmentation.image_size))
        return replace(example, masks=example.masks[:0], ignore=None)

    def find(self, entry: int) -> tuple[SampleSet, int, int]:
        """The set, the index in it and the number of the view that an entry is of."""
        after = entry - len(self.train) * self.views
        return (self.train, *divmod(entry, self.views)) if after < 0 else (self.validation, after, 0)


def entry_bytes(features: SamFeatures, entries: Entries) -> int:
    """Bytes of a training image's entry: exact for its features, for its masks the mean of a few samples."""
    first = [entries[index * entries.views].masks for index in range(min(len(entries.train), SAMPLES_WEIGHED))]
    masks = sum(mask.numel() for mask in first) / max(1, len(first))
    return round(2 * (features.image_embeddings.numel() + features.early.numel()) + masks)


def require_room(folder: Path, needed: int) -> None:
    """Raises a CacheError unless the disk has the bytes that are still to be written."""
    remedy = "choose another disk, lower augmentations_per_image, or train on fewer sources"
    require_space(folder, needed, f"cache={folder}", CacheError, remedy)


def write_shard(folder: Path, place: Place, made: list[Example], encode: Encode, batch_size: int) -> None:
    """Encodes one shard's entries, given in order as images, in batches, and writes it.

    Raises:
        CacheError: a feature is not finite; nothing is written.
        StorageError: the disk is full or cannot be written; the shards written before stay.
    """
    entries: list[Entry] = []
    for start in range(0, len(made), batch_size):
        entries += _encode(made[start : start + batch_size], encode)
    write_whole(shard_path(folder, place.number), pack_shard(place, entries))


def _encode(views: list[Example], encode: Encode) -> Iterator[Entry]:
    features = encode(torch.stack([view.image for view in views if isinstance(view.image, Tensor)]))
    parts = {name: getattr(features, name).to("cpu", torch.bfloat16) for name in ("image_embeddings", "early")}
    for row, view in enumerate(views):
        # of memory of its own, whose channels come first
        entry = {name: part[row].clone(memory_format=torch.contiguous_format) for name, part in parts.items()}
        for name, part in entry.items():
            if not torch.isfinite(part).all():
                raise CacheError(
                    f"{view.sample_id}: expected finite features of SAM, its {name} holds NaN or infinity; see whether "
                    "the SAM overflows in sam.precision (fp32 does not), and which file sam.weights names; nothing was "
                    "written of this shard"
                )
        entry["masks"] = pack_masks(view.masks)
        if view.ignore is not None:
            entry["ignore"] = view.ignore
        yield entry
