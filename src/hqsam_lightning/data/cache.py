"""Embedding cache: what the frozen encoder gives for a run's images, kept on disk.

An entry is one view of one image: its final and early features in bfloat16 and, in training, its masks and ignored
pixels. First come the K augmented views of every training image, entry ``index * views + view``, then every validation
image. An entry lies in shard ``entry // SHARD``, a safetensors file that is read through memory mapping.
``cache.json`` says what the features follow from and lists the images; a cache of anything else than the run at hand is
refused. Its checksum is the cache's identity, which every shard carries.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hqsam_lightning.data.shards import SHARD, Place, check_shard, read_entry, shard_path
from hqsam_lightning.errors import CacheError
from hqsam_lightning.storage.files import content_sha256, read_document
from hqsam_lightning.types import OBJECT_THRESHOLD, Identity, StoredFeatures

log = logging.getLogger(__name__)

INDEX_FILE = "cache.json"
KIND = "cache"
VERSION = 4
REMEDY = "run `python -m hqsam_lightning.precompute` for this run into another folder, or set cache=null"
ANEW = (
    "delete the file and run the same `python -m hqsam_lightning.precompute` again, which writes it anew and keeps the "
    "shards, or set cache=null"
)


@dataclass(frozen=True)
class CacheIndex:
    """What a cache holds.

    Attributes:
        facts: what the features follow from, see `hqsam_lightning.recipe.features_of`, and the number of "views".
        images: that are trained on, in order.
        validation: images that are validated on, in order.
    """

    facts: Mapping[str, Any]
    images: Sequence[Identity]
    validation: Sequence[Identity]

    @classmethod
    def read(cls, folder: Path) -> CacheIndex | None:
        """Reads cache.json; None where the folder holds none.

        Raises:
            CacheError: the file is damaged, or of another version.
        """
        path = folder / INDEX_FILE
        if not path.exists():
            return None
        body = read_document(path, KIND, VERSION, CacheError, ANEW)
        facts, lists = body.get("facts"), [body.get(key) for key in ("images", "validation")]
        if not isinstance(facts, dict) or type(facts.get("views")) is not int or facts["views"] < 1:
            raise CacheError(f"{path}: expected facts with views >= 1, got {facts!r:.99}; {ANEW}")
        if not all(isinstance(listed, list) and all(map(_is_identity, listed)) for listed in lists):
            raise CacheError(f"{path}: expected lists of sample id, dataset and content; {ANEW}")
        return cls(facts, *([Identity(*fields) for fields in listed or ()] for listed in lists))

    @property
    def body(self) -> dict[str, Any]:
        """Content of cache.json."""
        images, validation = ([list(astuple(each)) for each in listed] for listed in (self.images, self.validation))
        return {"facts": dict(self.facts), "images": images, "validation": validation}

    @property
    def first_validation(self) -> int:
        """Entry of the first validation image."""
        return len(self.images) * int(self.facts["views"])

    def places(self) -> list[Place]:
        """Where each shard belongs, by number."""
        identity = content_sha256(json.loads(json.dumps(self.body)))
        total = self.first_validation + len(self.validation)
        return [Place(identity, first // SHARD, min(SHARD, total - first)) for first in range(0, total, SHARD)]

    def refuse_other_facts(self, folder: Path, expected: Mapping[str, Any]) -> None:
        """Raises a CacheError that names each fact which is not as expected."""
        stored = self.facts
        listed = [
            f"{key}: {stored.get(key)} in the cache, {expected.get(key)} in this run"
            for key in sorted(stored.keys() | expected.keys())
            if stored.get(key) != expected.get(key)
        ]
        if listed:
            raise CacheError(f"cache={folder}: expected a cache of this run's features; {'; '.join(listed)}; {REMEDY}")


class EmbeddingCache:
    """A finished cache, opened for reading.

    Args:
        folder: that `python -m hqsam_lightning.precompute` wrote.
        facts: what the run's features follow from; ``views`` is taken from the cache where None.

    Raises:
        CacheError: the folder holds no cache, an unfinished or damaged one, or one of other facts, which are named; or
            a shard belongs to another cache or place.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self.folder = folder
        index = CacheIndex.read(folder)
        if index is None:
            raise CacheError(f"cache={folder}: expected a cache, found none; {REMEDY}")
        self.views = int(index.facts["views"])
        index.refuse_other_facts(folder, facts if facts["views"] is not None else {**facts, "views": self.views})
        self._training = {identity: place * self.views for place, identity in enumerate(index.images)}
        self._validation = {identity: entry for entry, identity in enumerate(index.validation, index.first_validation)}
        self._places = index.places()
        missing = missing_shards(folder, self._places)
        if missing:
            raise CacheError(
                f"cache={folder}: expected {len(self._places)} shards, {len(missing)} are missing (first: "
                f"{missing[0].number}); run the same `python -m hqsam_lightning.precompute` again, which continues"
            )

    def training_entries(self, identities: Sequence[Identity]) -> list[int]:
        """Finds training images: the entry of each one's first view, which the others follow.

        Raises:
            CacheError: an image is not in the cache, or has changed since.
        """
        absent = [identity for identity in identities if identity not in self._training]
        if absent:
            raise CacheError(
                f"cache={self.folder}: expected every training image as it is now; {len(absent)} of "
                f"{len(identities)} are not in it or have changed since (first: {absent[0].sample_id}); {REMEDY}"
            )
        return [self._training[identity] for identity in identities]

    def validation_entries(self, dataset: str, identities: Sequence[Identity]) -> list[int] | None:
        """Finds the images of a validation set, by name and identities; None, with a warning, where it lacks one."""
        absent = [identity for identity in identities if identity not in self._validation]
        if absent:
            log.warning(
                "cache=%s: %d of the %d images of validation set %s are not in it or have changed since (first: "
                "%s); this set is encoded in every validation",
                *(self.folder, len(absent), len(identities), dataset, absent[0].sample_id),
            )
            return None
        return [self._validation[identity] for identity in identities]

    def read(self, entry: int) -> tuple[StoredFeatures, Tensor, Tensor | None]:
        """Reads one view of one image.

        Args:
            entry: see `training_entries` and `validation_entries`.

        Returns:
            Its features, bfloat16, its masks (M, 1, H, W) float32 in [0, 1], and its ignored pixels (1, H, W) bool,
            None where there are none. Nothing but the features is stored of a validation image.

        Raises:
            CacheError: the shard is damaged, or was replaced by another since.
        """
        number, row = divmod(entry, SHARD)
        stored = read_entry(shard_path(self.folder, number), self._places[number], row)
        features = StoredFeatures(stored["image_embeddings"], stored["early"])
        return features, unpack_masks(stored["masks"]), stored.get("ignore")


def missing_shards(folder: Path, places: Sequence[Place]) -> list[Place]:
    """The shards that are still to be written; by their headers, the others are made sure to belong where they are.

    Raises:
        CacheError: a shard is damaged, or of another cache, place or version.
    """
    missing = []
    for place in places:
        path = shard_path(folder, place.number)
        if path.exists():
            check_shard(path, place)
        else:
            missing.append(place)
    return missing


def pack_masks(masks: Tensor) -> Tensor:
    """Rounds masks in [0, 1] to uint8; object pixels (> 128/255) stay object pixels, and no others become some."""
    rounded = (masks * 255).round().to(torch.uint8)
    return torch.where(masks > OBJECT_THRESHOLD, rounded.clamp(min=129), rounded.clamp(max=128))


def unpack_masks(masks: Tensor) -> Tensor:
    """What `pack_masks` packed, as float32 in [0, 1]."""
    return masks.float() / 255


def _is_identity(fields: object) -> bool:
    return isinstance(fields, list) and len(fields) == 3 and all(isinstance(field, str) for field in fields)
