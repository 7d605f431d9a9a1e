"""Scenes with prompts of all kinds, that a written model is compared by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hqsam_lightning.data.datasets import Scenes
from hqsam_lightning.inference.model import HQSam
from hqsam_lightning.prompts.kinds import box_of, deepest_point, noise_mask
from hqsam_lightning.types import PromptGroup, SamFeatures


@dataclass(frozen=True)
class Sample:
    """B images with an object each.

    Attributes:
        images: (B, 3, H, W) float32 values 0 to 255.
        masks: (B, 1, H, W) the objects.
        groups: the prompts of one kind for all objects, by the kind.
    """

    images: Tensor
    masks: Tensor
    groups: dict[str, PromptGroup]

    @property
    def index(self) -> Tensor:
        """(B,) the image of each object."""
        return torch.arange(len(self.images))


def draw_sample(model: HQSam, count: int) -> Sample:
    """Draws scenes of the model's frame.

    Args:
        model: whose frame they fill.
        count: B.
    """
    scenes = Scenes(count, image_size=model.image_size, split="val", objects=(1, 1))
    drawn = [scenes[index] for index in range(count)]
    images = torch.from_numpy(np.stack([scene.image for scene in drawn])).permute(0, 3, 1, 2).float()
    masks = torch.from_numpy(np.stack([scene.masks[:1] for scene in drawn]))
    return Sample(images.contiguous(), masks, _prompts(masks, model.sam.mask_input_size))


@torch.no_grad()
def predict(model: HQSam, sample: Sample, multimask_output: bool) -> list[Tensor]:
    """The model's logits (B, M, 4h, 4w) for each kind of prompts; every image is encoded once."""
    return decode_all(model, model.encode(sample.images), sample, multimask_output)


def decode_all(model: HQSam, features: SamFeatures, sample: Sample, multimask_output: bool) -> list[Tensor]:
    """Logits (B, M, 4h, 4w) for each kind of prompts, from features of the images."""
    return [model.decode(features, [group], sample.index, multimask_output)[0] for group in sample.groups.values()]


def _prompts(masks: Tensor, mask_input_size: int) -> dict[str, PromptGroup]:
    rng = np.random.default_rng(0)
    rows = torch.arange(len(masks))
    boxes = torch.stack([box_of(mask) for mask in masks])
    # a point on the object, and one off it
    coords = torch.stack([torch.stack([deepest_point(mask), torch.zeros(2)]) for mask in masks])
    points = {"point_coords": coords, "point_labels": torch.tensor([[1, 0]]).repeat(len(masks), 1)}
    coarse = torch.stack([noise_mask(mask, mask_input_size, rng) for mask in masks])
    return {
        "box": PromptGroup(rows, boxes=boxes),
        "points": PromptGroup(rows, **points),
        "mask": PromptGroup(rows, masks=coarse),
        "box and points": PromptGroup(rows, boxes=boxes, **points),
        "box and mask": PromptGroup(rows, boxes=boxes, masks=coarse),
    }
