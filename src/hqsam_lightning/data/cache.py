"""Embedding cache: what the frozen encoder gives for K augmented views of every training image, kept on disk.

An entry is one view of one image: its final and early features in bfloat16, its masks and ignored pixels. Entry number
``index * views + view`` lies in shard ``entry // SHARD``, a safetensors file that is read through memory mapping.
``cache.json`` says what the features follow from; a cache of anything else than the run at hand is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hqsam_lightning.errors import CacheError
from hqsam_lightning.types import OBJECT_THRESHOLD, Identity, StoredFeatures

SHARD = 16
"""Entries a file."""

FACTS_FILE = "cache.json"
IMAGES_FILE = "images.json"
FORMAT = 1
PIXEL_RULE = "truncate"
"""How the jitter makes whole numbers of resized pixels; caches without it were made of rounded ones."""

REMEDY = "run `python -m hqsam_lightning.precompute` for this run into another folder, or set data.cache=null"


class EmbeddingCache:
    """A finished cache, opened for reading.

    Args:
        folder: that `python -m hqsam_lightning.precompute` wrote.
        facts: what the run's features follow from, see `cache_facts`; ``views`` is taken from the cache where None.

    Raises:
        CacheError: the folder holds no cache, an unfinished one, or one of other facts, which are named.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self.folder = folder
        stored = read_facts(folder)
        if stored is None:
            raise CacheError(f"data.cache={folder}: expected a cache, found none; {REMEDY}")
        expected = dict(facts) if facts["views"] is not None else {**facts, "views": stored.get("views")}
        refuse_other_facts(folder, stored, expected)
        self.views: int = stored["views"]
        images = read_images(folder)
        self._positions = {identity: index for index, identity in enumerate(images)}
        shards = count_shards(len(images), self.views)
        missing = [number for number in range(shards) if not shard_path(folder, number).exists()]
        if missing:
            raise CacheError(
                f"data.cache={folder}: expected {shards} shards, {len(missing)} are missing (first: {missing[0]}); "
                "run the same `python -m hqsam_lightning.precompute` again, it goes on where it stopped"
            )

    def positions(self, identities: Sequence[Identity]) -> list[int]:
        """Finds images.

        Raises:
            CacheError: an image is not in the cache, or has changed since.
        """
        absent = [identity for identity in identities if identity not in self._positions]
        if absent:
            raise CacheError(
                f"data.cache={self.folder}: expected every training image as it is now; {len(absent)} of "
                f"{len(identities)} are not in it or have changed since (first: {absent[0].sample_id}); {REMEDY}"
            )
        return [self._positions[identity] for identity in identities]

    def read(self, position: int, view: int) -> tuple[StoredFeatures, Tensor, Tensor | None]:
        """Reads one view of one image.

        Args:
            position: of the image, see `positions`.
            view: in [0, views).

        Returns:
            Its features, bfloat16, its masks (M, 1, H, W) float32 in [0, 1], and its ignored pixels (1, H, W) bool,
            None where there are none.

        Raises:
            CacheError: the shard is damaged.
        """
        number, row = divmod(position * self.views + view, SHARD)
        path = shard_path(self.folder, number)
        try:
            with safe_open(path, framework="pt") as shard:
                first, last = shard.get_slice("first_mask")[row : row + 2].tolist()
                features = StoredFeatures(shard.get_slice("image_embeddings")[row], shard.get_slice("early")[row])
                masks = shard.get_slice("masks")[first:last]
                ignore = read_ignore(shard, row, masks.shape[-1])
        except (SafetensorError, OSError) as error:
            raise CacheError(
                f"{path}: expected a whole shard, cannot read it ({error}); delete the file and run the same "
                "`python -m hqsam_lightning.precompute` again, which makes it anew"
            ) from error
        return features, unpack_masks(masks), ignore


def cache_facts(config: Mapping[str, Any], image_size: int, weights_sha256: str, views: int | None) -> dict[str, Any]:
    """What features and masks of a view follow from, beside the image itself.

    Args:
        config: the run's resolved config: its seed, augmentation, data.decode, sam.name and sam.precision.
        image_size: side of the input frame.
        weights_sha256: fingerprint of the SAM.
        views: number of views an image, or None for whatever a cache holds.
    """
    return {
        "format": FORMAT,
        "sam": config["sam"]["name"],
        "weights_sha256": weights_sha256,
        "precision": config["sam"]["precision"],
        "image_size": image_size,
        "augmentation": config["augmentation"],
        "decode": config["data"]["decode"],
        "pixel_rule": PIXEL_RULE,
        "seed": config["seed"],
        "views": views,
    }


def read_facts(folder: Path) -> dict[str, Any] | None:
    """Reads what a folder's cache follows from; None where the folder holds no cache."""
    path = folder / FACTS_FILE
    if not path.is_file():
        return None
    try:
        facts = json.loads(path.read_text())
    except ValueError as error:
        raise CacheError(f"{path}: expected JSON, cannot read it ({error}); {REMEDY}") from error
    return dict(facts)


def refuse_other_facts(folder: Path, stored: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raises a CacheError that names each fact which is not as expected."""
    changed = [key for key in sorted(stored.keys() | expected.keys()) if stored.get(key) != expected.get(key)]
    if changed:
        listed = "; ".join(f"{key}: {stored.get(key)} in the cache, {expected.get(key)} in this run" for key in changed)
        raise CacheError(f"data.cache={folder}: expected a cache of this run's features; {listed}; {REMEDY}")


def read_images(folder: Path) -> list[Identity]:
    """Reads the list of a cache's images."""
    return [Identity(*fields) for fields in json.loads((folder / IMAGES_FILE).read_text())]


def count_shards(images: int, views: int) -> int:
    """Number of files that hold the views of so many images."""
    return -(-images * views // SHARD)


def shard_path(folder: Path, number: int) -> Path:
    """File of a shard."""
    return folder / f"{number:06d}.safetensors"


def pack_masks(masks: Tensor) -> Tensor:
    """Rounds masks in [0, 1] to uint8; object pixels (> 128/255) stay object pixels, and no others become some."""
    rounded = (masks * 255).round().to(torch.uint8)
    return torch.where(masks > OBJECT_THRESHOLD, rounded.clamp(min=129), rounded.clamp(max=128))


def unpack_masks(masks: Tensor) -> Tensor:
    """What `pack_masks` packed, as float32 in [0, 1]."""
    return masks.float() / 255


def pack_ignore(ignored: Sequence[Tensor | None]) -> dict[str, Tensor]:
    """A shard's tensors for the ignored pixels of its entries; none where no entry ignores any.

    Args:
        ignored: (1, H, W) bool of each entry, or None.

    Returns:
        ``ignore``: (R, 1, H, ceil(W / 8)) uint8, the pixels of the R entries that have any, eight in a byte;
        ``ignore_row``: (entries,) int64, the row of each entry, -1 where it ignores nothing.
    """
    present = [pixels for pixels in ignored if pixels is not None]
    if not present:
        return {}
    has_any = torch.tensor([pixels is not None for pixels in ignored])
    packed = np.packbits(torch.stack(present).numpy(), axis=-1)
    return {"ignore": torch.from_numpy(packed), "ignore_row": torch.where(has_any, has_any.cumsum(0) - 1, -1)}


def read_ignore(shard: Any, entry: int, width: int) -> Tensor | None:
    """The ignored pixels (1, H, width) bool of a shard's entry, as `pack_ignore` packed them; None for none.

    Args:
        shard: an open safetensors file.
        entry: number of the entry within the shard.
        width: of the frame in pixels.
    """
    if "ignore" not in shard.keys():  # noqa: SIM118 (not a mapping)
        return None
    row = int(shard.get_slice("ignore_row")[entry])
    if row < 0:
        return None
    pixels = np.unpackbits(shard.get_slice("ignore")[row].numpy(), axis=-1, count=width)
    return torch.from_numpy(pixels.astype(np.bool_))
