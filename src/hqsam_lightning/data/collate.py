"""Batches of several masks per image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hqsam_lightning.cuts import CutPhotos, PhotoToCut
from hqsam_lightning.prompts.grouping import group_prompts
from hqsam_lightning.types import Batch, Example, StoredFeatures


def collate(examples: Sequence[Example]) -> Batch:
    """Puts B examples into one batch: an image's masks with the first kind of prompts, then with the next."""
    kinds = [(number, name) for number, example in enumerate(examples) for name in example.prompts]
    rows = [(number, name) for number, name in kinds for _ in examples[number].masks]
    owners = [examples[number] for number, _ in rows]
    # one tensor per mask, which all of its rows share
    originals = [[] if example.original_masks is None else list(example.original_masks) for example in examples]
    return Batch(
        images=_cut_photos(examples, kinds) or _stack([example.image for example in examples]),
        masks=torch.cat([examples[number].masks for number, _ in kinds]),
        image_index=torch.tensor([number for number, _ in rows]),
        prompts=group_prompts([prompt for number, name in kinds for prompt in examples[number].prompts[name]]),
        seeds=[seed for number, _ in kinds for seed in examples[number].seeds],
        original_masks=[mask for number, _ in kinds for mask in originals[number]] or None,
        sample_ids=[example.sample_id for example in owners],
        datasets=[example.dataset for example in owners],
        prompt_names=[name for _, name in rows],
        ignore=_stack_ignore(examples),
        original_ignore=None
        if all(example.original_ignore is None for example in examples)
        else [example.original_ignore for example in owners],
    )


def _cut_photos(examples: Sequence[Example], kinds: Sequence[tuple[int, str]]) -> CutPhotos | None:
    """The photos of examples that are cut, with the cuts in the order of the batch's rows."""
    photos = [example.image for example in examples if isinstance(example.image, PhotoToCut)]
    if not photos:
        return None
    shown = [(cut, number) for number, name in kinds for cut in photos[number].cuts[name]]
    cuts, index = zip(*shown, strict=True)
    return CutPhotos([photo.image for photo in photos], cuts, index, photos[0].fit, len(photos))


def _stack(images: Sequence[Tensor | StoredFeatures | PhotoToCut]) -> Tensor | StoredFeatures:
    stored = [image for image in images if isinstance(image, StoredFeatures)]
    if stored:
        pixels = [each.pixels for each in stored if each.pixels is not None]
        return StoredFeatures(
            torch.stack([each.image_embeddings for each in stored]),
            torch.stack([each.early for each in stored]),
            torch.stack(pixels) if pixels else None,
        )
    return torch.stack([image for image in images if isinstance(image, Tensor)])


def _stack_ignore(examples: Sequence[Example]) -> Tensor | None:
    """(B, 1, H, W) bool; None where no example ignores any pixel."""
    if all(example.ignore is None for example in examples):
        return None
    nothing = torch.zeros(1, *examples[0].masks.shape[-2:], dtype=torch.bool)
    return torch.stack([nothing if example.ignore is None else example.ignore for example in examples])
