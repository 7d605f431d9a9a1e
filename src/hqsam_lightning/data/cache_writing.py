"""Writes an embedding cache: shard by shard, each whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import Dataset

from hqsam_lightning.data.cache import (
    FACTS_FILE,
    IMAGES_FILE,
    REMEDY,
    SHARD,
    count_shards,
    pack_ignore,
    pack_masks,
    read_facts,
    read_images,
    refuse_other_facts,
    shard_path,
)
from hqsam_lightning.data.views import OnlineViews
from hqsam_lightning.errors import CacheError
from hqsam_lightning.sam.frozen import FrozenSam
from hqsam_lightning.types import Identity, SamFeatures, View

SAMPLES_WEIGHED = 16
"""Samples whose masks are counted to estimate how large a cache gets."""


def begin_cache(folder: Path, facts: Mapping[str, Any], images: list[Identity]) -> None:
    """Makes the folder of a cache, or makes sure that it holds the same one, begun before.

    Raises:
        CacheError: the folder holds a cache of other facts or images.
    """
    stored = read_facts(folder)
    if stored is None:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / IMAGES_FILE, json.dumps([astuple(image) for image in images], indent=0).encode())
        write_whole(folder / FACTS_FILE, json.dumps(facts, indent=2).encode())
        return
    refuse_other_facts(folder, stored, facts)
    if read_images(folder) != images:
        raise CacheError(f"data.cache={folder}: expected a cache of these {len(images)} training images; {REMEDY}")


def missing_shards(folder: Path, images: int, views: int) -> list[int]:
    """Numbers of the shards that are still to be written."""
    return [number for number in range(count_shards(images, views)) if not shard_path(folder, number).exists()]


def shard_entries(number: int, images: int, views: int) -> range:
    """Numbers of the entries that a shard holds."""
    return range(number * SHARD, min((number + 1) * SHARD, images * views))


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
            f"data.cache={folder}: expected {needed / 1e9:.1f} GB of free space for what is still to be written, found "
            f"{free / 1e9:.1f} GB; choose another disk, lower data.views, or train on fewer sources"
        )


def write_shard(folder: Path, number: int, made: list[View], sam: FrozenSam, batch_size: int) -> None:
    """Encodes and writes one shard.

    Args:
        folder: of the cache.
        number: of the shard.
        made: its entries, in order, as images.
        sam: on the device that is to encode.
        batch_size: images a call of the encoder.

    Raises:
        CacheError: the disk is full or cannot be written; the shards written before stay.
    """
    embeddings, early = [], []
    for start in range(0, len(made), batch_size):
        images = torch.stack([_pixels(view) for view in made[start : start + batch_size]])
        features = sam.encode(images.to(sam.device))
        embeddings.append(features.image_embeddings.to("cpu", torch.bfloat16))
        early.append(features.early.to("cpu", torch.bfloat16))
    counts = torch.tensor([0, *(len(view.masks) for view in made)])
    content = save(
        {
            "image_embeddings": torch.cat(embeddings).contiguous(),
            "early": torch.cat(early).contiguous(),
            "masks": pack_masks(torch.cat([view.masks for view in made])),
            "first_mask": counts.cumsum(0),
            **pack_ignore([view.ignore for view in made]),
        }
    )
    write_whole(shard_path(folder, number), content)


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file such that it is there whole or not at all.

    Raises:
        CacheError: the disk is full or cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CacheError(
            f"{path}: cannot be written ({error}); what was written before is whole: make room and run the same "
            "`python -m hqsam_lightning.precompute` again, it goes on from there"
        ) from error


def _pixels(view: View) -> Tensor:
    assert isinstance(view.image, Tensor)
    return view.image
