"""What is evaluated, as suites use it: an image is encoded once for all heads, and prompts are decoded in chunks.

Where each prompt is shown a cut of its photo, it is the cuts that are encoded.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from hqsam_lightning.cuts import CutPhotos
from hqsam_lightning.evaluation.table import Row
from hqsam_lightning.heads import Head
from hqsam_lightning.runtime.timing import synchronise
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.types import MaskLogits, PromptGroup, SamFeatures, StoredFeatures


@dataclass
class Cost:
    """What predicting has taken so far.

    Attributes:
        encoded: images or cuts that were encoded; once for all heads that share the encoder.
        seconds: from images in the model's frame, or photos that are cut, to the logits of all heads.
    """

    encoded: int = 0
    seconds: float = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Adds the time that its block takes."""
        synchronise()
        start = time.perf_counter()
        yield
        synchronise()
        self.seconds += time.perf_counter() - start


@dataclass(frozen=True)
class Model:
    """A frozen SAM and heads on it.

    Attributes:
        sam: the frozen model, on its device.
        heads: by name, plain SAM first, on the same device.
        masks_at_once: most prompts of one decoder call, which bounds its memory.
        cost: of all that was predicted with it.
    """

    sam: FrozenSam
    heads: Mapping[str, Head]
    masks_at_once: int
    cost: Cost = field(default_factory=Cost)

    @property
    def rows(self) -> list[Row]:
        """Each (variant, output) that is scored."""
        return [(name, output) for name, head in self.heads.items() for output in head.outputs]

    def encode(self, images: Tensor | StoredFeatures | CutPhotos) -> Encoded:
        """Makes B images ready for prompts; photos whose prompts are shown cuts are encoded when they are prompted."""
        return ToBeCut(self, images) if isinstance(images, CutPhotos) else self.encode_whole(images)

    @torch.no_grad()
    def encode_whole(self, images: Tensor | StoredFeatures, variants: Collection[str] | None = None) -> EncodedImages:
        """Encodes B images once for all heads, except those that have an encoder of their own.

        Args:
            images: in the model's frame.
            variants: names of the heads that will be asked for; None is all.
        """
        heads = {name: head for name, head in self.heads.items() if variants is None or name in variants}
        features: dict[str, SamFeatures] = {}
        with self.cost.timed():
            if any(head.own_encoder is None for head in heads.values()):
                shared = self.sam.features(images)
                features = {name: shared for name, head in heads.items() if head.own_encoder is None}
            for name, head in heads.items():
                if head.own_encoder is not None:
                    pixels = images.pixels if isinstance(images, StoredFeatures) else images
                    assert pixels is not None
                    features[name] = self.sam.encode_with(head.own_encoder, pixels)
        self.cost.encoded += len(images)
        return EncodedImages(self, features)


class Encoded(ABC):
    """B images, ready to be prompted as often as needed."""

    @abstractmethod
    def logits(
        self, prompts: Sequence[PromptGroup], image_index: Tensor, variants: Collection[str] | None = None
    ) -> dict[Row, Tensor]:
        """(N, 1, 4h, 4w) logits of each (variant, output) that is scored.

        Args:
            prompts: groups whose rows together are 0 .. N-1, in pixels of the input frame.
            image_index: (N,) the image of each.
            variants: names of the heads; None takes all.
        """

    def part(self, start: int, stop: int) -> Encoded:
        """The same for the rows of a batch from `start` until before `stop`, which are then 0, 1, ..."""
        return self


@dataclass(frozen=True)
class EncodedImages(Encoded):
    """Images that were encoded.

    Attributes:
        model: that encoded them.
        features: by head.
    """

    model: Model
    features: Mapping[str, SamFeatures]

    @torch.no_grad()
    def predictions(
        self, prompts: Sequence[PromptGroup], image_index: Tensor, variants: Collection[str] | None = None
    ) -> Iterator[tuple[str, MaskLogits]]:
        """Yields one head's logits of N prompts after another's; see `Encoded.logits`."""
        sam = self.model.sam
        chunks = [chunk for group in prompts for chunk in _chunks(group, self.model.masks_at_once)]
        embeddings = sam.encode_prompts(chunks, image_index)
        for name, head in self.model.heads.items():
            if variants is None or name in variants:
                yield name, head(sam, self.features[name], embeddings)

    def logits(
        self, prompts: Sequence[PromptGroup], image_index: Tensor, variants: Collection[str] | None = None
    ) -> dict[Row, Tensor]:
        """See `Encoded.logits`."""
        with self.model.cost.timed():
            found = self.predictions(prompts, image_index, variants)
            outputs = {name: self.model.heads[name].outputs for name in self.model.heads}
            return {(name, output): of.select(output) for name, of in found for output in outputs[name]}


@dataclass(frozen=True)
class ToBeCut(Encoded):
    """Photos of which each prompt is shown a cut.

    Attributes:
        model: encodes the cuts.
        photos: with the cut of each of N prompts.
    """

    model: Model
    photos: CutPhotos

    def logits(
        self, prompts: Sequence[PromptGroup], image_index: Tensor, variants: Collection[str] | None = None
    ) -> dict[Row, Tensor]:
        """Encodes and decodes some cuts at a time, so that memory is that of as many photos; see `Encoded.logits`."""
        found: dict[Row, list[Tensor]] = {}
        for start in range(0, len(image_index), self.photos.at_once):
            stop = min(start + self.photos.at_once, len(image_index))
            with self.model.cost.timed():
                frames = self.photos.part(start, stop).frames().to(image_index.device)
            own = torch.arange(stop - start, device=image_index.device)
            groups = [part for group in prompts if len((part := _rows(group, start, stop)).rows)]
            logits = self.model.encode_whole(frames, variants).logits(groups, own, variants)
            for row, of_row in logits.items():
                found.setdefault(row, []).append(of_row)
        return {row: torch.cat(parts) for row, parts in found.items()}

    def part(self, start: int, stop: int) -> ToBeCut:
        """See `Encoded.part`."""
        return replace(self, photos=self.photos.part(start, stop))


def _chunks(group: PromptGroup, most: int) -> Iterator[PromptGroup]:
    """Parts of a group with at most so many rows."""
    for start in range(0, len(group.rows), most):
        yield _taken(group, slice(start, start + most))


def _rows(group: PromptGroup, start: int, stop: int) -> PromptGroup:
    """The prompts of a group whose rows are from `start` until before `stop`, as the rows 0, 1, ..."""
    part = _taken(group, (group.rows >= start) & (group.rows < stop))
    return replace(part, rows=part.rows - start)


def _taken(group: PromptGroup, which: slice | Tensor) -> PromptGroup:
    """Some prompts of a group."""
    part = {name: value[which] for name, value in vars(group).items() if value is not None}
    return replace(group, **part)
