"""Writes an embedding cache: shard by shard, each whole or not at all."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from hqsam_lightning.data.cache import (
    FACTS_FILE,
    FACTS_KIND,
    IMAGES_FILE,
    IMAGES_KIND,
    REMEDY,
    SHARD,
    VERSION,
    CacheIndex,
    missing_shards,
    pack_ignore,
    pack_masks,
    read_cache_facts,
    read_images,
    refuse_other_facts,
)
from hqsam_lightning.data.shards import Entry, Place, pack_shard, shard_path
from hqsam_lightning.data.views import OnlineViews
from hqsam_lightning.errors import CacheError
from hqsam_lightning.storage.files import write_document, write_whole
from hqsam_lightning.types import Identity, SamFeatures, StoredFeatures, View

log = logging.getLogger(__name__)

Encode = Callable[[Tensor], SamFeatures]
SAMPLES_WEIGHED = 16
"""Samples whose masks are counted to estimate how large a cache gets."""


def begin_cache(folder: Path, facts: Mapping[str, Any], images: Sequence[Identity]) -> list[Place]:
    """Makes the folder of a cache, or makes sure that it holds the same one, begun before; no other process may write.

    Returns:
        The places of the shards that are still to be written.

    Raises:
        CacheError: the folder holds a cache, or a shard, of other facts or images; nothing is written then.
        StorageError: the folder cannot be written.
    """
    index = CacheIndex(facts, images)
    stored = read_cache_facts(folder)
    if stored is not None:
        listed = stored.pop("images_sha256", None)
        refuse_other_facts(folder, stored, facts)
        if listed != index.facts_body["images_sha256"]:
            raise CacheError(f"cache={folder}: expected a cache of these {len(images)} training images; {REMEDY}")
        if (folder / IMAGES_FILE).exists() and read_images(folder) != list(images):
            raise CacheError(f"{folder / IMAGES_FILE}: expected the images of {FACTS_FILE}, got another list; {REMEDY}")
    places = index.places()
    missing = [places[number] for number in missing_shards(folder, places)]
    _remove_partial(folder)
    if not (folder / IMAGES_FILE).exists() or stored is None:
        write_document(folder / IMAGES_FILE, IMAGES_KIND, VERSION, index.images_body)
    if stored is None:
        write_document(folder / FACTS_FILE, FACTS_KIND, VERSION, index.facts_body)
    return missing


def _remove_partial(folder: Path) -> None:
    """Removes what a killed process left half written."""
    for pattern in (".[0-9]*.safetensors.*.part", f".{FACTS_FILE}.*.part", f".{IMAGES_FILE}.*.part"):
        for path in folder.glob(pattern):
            log.info("%s: half written by a process that was killed; removed", path)
            path.unlink(missing_ok=True)


def shard_entries(place: Place) -> range:
    """Numbers of the entries that a shard holds."""
    return range(place.number * SHARD, place.number * SHARD + place.entries)


class Entries(Dataset[View]):
    """The entries of a cache, as images, by number."""

    def __init__(self, views: OnlineViews, count: int) -> None:
        self.views = views
        self.count = count

    def __getitem__(self, entry: int) -> View:
        return self.views.make(*divmod(entry, self.count))


def entry_bytes(features: SamFeatures, views: OnlineViews) -> int:
    """Bytes that an entry takes: exact for the features, for the masks the mean of a few samples.

    Args:
        features: of one image.
        views: of the samples.
    """
    first = [views.make(index, 0).masks for index in range(min(len(views), SAMPLES_WEIGHED))]
    masks = sum(mask.numel() for mask in first) / len(first)
    return round(2 * (features.image_embeddings.numel() + features.early.numel()) + masks)


def require_space(folder: Path, needed: int) -> None:
    """Makes sure that the disk holds what is still to be written.

    Raises:
        CacheError: when it does not.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CacheError(
            f"cache={folder}: expected {needed / 1e9:.1f} GB of free space for what is still to be written, found "
            f"{free / 1e9:.1f} GB; choose another disk, lower data.views, or train on fewer sources"
        )


def write_shard(folder: Path, place: Place, made: list[View], encode: Encode, batch_size: int) -> None:
    """Encodes and writes one shard.

    Args:
        folder: of the cache.
        place: of the shard.
        made: its entries, in order, as images.
        encode: gives the features of (B, 3, H, W) uint8 images.
        batch_size: images per call of the encoder.

    Raises:
        CacheError: a feature is not finite; nothing is written.
        StorageError: the disk is full or cannot be written; the shards written before stay.
    """
    entries: list[Entry] = []
    for start in range(0, len(made), batch_size):
        entries += _encode(made[start : start + batch_size], encode)
    write_whole(shard_path(folder, place.number), pack_shard(place, entries))


def _encode(views: list[View], encode: Encode) -> Iterator[Entry]:
    features = encode(torch.stack([_pixels(view) for view in views]))
    embeddings = features.image_embeddings.to("cpu", torch.bfloat16)
    early = features.early.to("cpu", torch.bfloat16)
    for row, view in enumerate(views):
        # of memory of its own, whose channels come first
        stored = [each[row].clone(memory_format=torch.contiguous_format) for each in (embeddings, early)]
        entry = Entry(StoredFeatures(*stored), pack_masks(view.masks), pack_ignore(view.ignore))
        _require_finite(entry, view)
        yield entry


def _require_finite(entry: Entry, view: View) -> None:
    for name, feature in vars(entry.features).items():
        if not torch.isfinite(feature).all():
            raise CacheError(
                f"{view.sample_id}: expected finite features of SAM, its {name} holds NaN or infinity; see whether "
                "the SAM overflows in sam.precision (fp32 does not), and which file sam.weights names; nothing was "
                "written of this shard"
            )


def _pixels(view: View) -> Tensor:
    assert isinstance(view.image, Tensor)
    return view.image
