"""Encodes images of several sizes in one call, and decodes any number of prompts with a bound on the rows of a call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from PIL import Image
from torch import Tensor

from hqsam_lightning.data.framing import Pad
from hqsam_lightning.inference.model import HQSam
from hqsam_lightning.prompts.grouping import group_prompts
from hqsam_lightning.types import Prompt, PromptGroup, SamFeatures


def fit(image: np.ndarray, frame: Pad) -> Tensor:
    """Resizes an image as `SamPredictor` does.

    Args:
        image: (H0, W0, 3) uint8.
        frame: that it is fitted into.

    Returns:
        (3, h, w) uint8, without padding.
    """
    height, width = frame.inside(image.shape)
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


def encode_fitted(model: HQSam, images: Sequence[Tensor]) -> SamFeatures:
    """Pads and encodes images in one call.

    Args:
        model: to encode with.
        images: B images of `fit`.
    """
    side, mean = model.image_size, model.sam.sam.pixel_mean
    frames = mean.expand(len(images), 3, side, side).clone()
    for frame, image in zip(frames, images, strict=True):
        frame[:, : image.shape[1], : image.shape[2]] = image.to(frames.device)
    return model.encode(frames)


@torch.no_grad()
def decode_rows(
    model: HQSam,
    features: SamFeatures,
    prompts: Sequence[Prompt],
    images: Sequence[int],
    per_call: int,
    multimask_output: bool = False,
) -> Iterator[tuple[Tensor, float]]:
    """Decodes prompts of several images, some at a time.

    Args:
        model: to decode with.
        features: of B images.
        prompts: N prompts in the input frame; their kinds may differ.
        images: the image of each.
        per_call: most rows of one call of the decoder.
        multimask_output: take, of SAM's three masks, the one that it scores highest.

    Yields:
        (4h, 4w) logits and SAM's prediction of their IoU, for each prompt in turn.
    """
    device = model.device
    for start in range(0, len(prompts), per_call):
        groups = [_on(group, device) for group in group_prompts(prompts[start : start + per_call])]
        index = torch.tensor(images[start : start + per_call], device=device)
        logits, scores = model.decode(features, groups, index, multimask_output)
        best = scores.argmax(dim=1)
        rows = torch.arange(len(best), device=device)
        yield from zip(logits[rows, best], scores[rows, best].tolist(), strict=True)


def restore(model: HQSam, logits: Tensor, size: Sequence[int]) -> Tensor:
    """(4h, 4w) logits of the input frame -> (H0, W0) of an image of that size, by segment-anything's resizing."""
    inside = Pad(model.image_size).inside(size)
    return model.sam.sam.postprocess_masks(logits[None, None], inside, tuple(size[:2]))[0, 0]


def _on(group: PromptGroup, device: torch.device) -> PromptGroup:
    return cast(PromptGroup, apply_to_collection(group, Tensor, lambda tensor: tensor.to(device)))
