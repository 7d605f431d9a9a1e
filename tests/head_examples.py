"""Prompts and images that the tests of all heads run on."""

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from hqsam_lightning.heads import Head
from hqsam_lightning.prompts import group_prompts
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.types import MaskLogits, Prompt, SamFeatures

IMAGE_INDEX = [0, 0, 1, 1, 1, 0, 1]


def two_images(sam: FrozenSam) -> Tensor:
    """Random, (2, 3, H, W) uint8, on the device of SAM."""
    size = (2, 3, sam.image_size, sam.image_size)
    return torch.randint(0, 256, size, generator=torch.Generator().manual_seed(1), dtype=torch.uint8).to(sam.device)


def make_prompts() -> list[Prompt]:
    """Prompts of mixed kinds for the 64 x 64 frame, a row of `IMAGE_INDEX` each, no two alike."""
    generator = torch.Generator().manual_seed(5)

    def points(number: int) -> dict[str, Tensor]:
        return {
            "point_coords": torch.rand(number, 2, generator=generator) * 64,
            "point_labels": torch.ones(number, dtype=torch.int64),
        }

    def mask() -> Tensor:
        return (torch.rand(1, 16, 16, generator=generator) > 0.5).float() * 255

    return [
        Prompt(mask=mask()),
        Prompt(box=torch.tensor([3.0, 5.0, 40.0, 60.0])),
        Prompt(**points(10)),
        Prompt(box=torch.tensor([10.0, 20.0, 30.0, 30.0])),
        Prompt(mask=mask()),
        Prompt(**points(10)),
        Prompt(**points(1)),
    ]


def predict(head: Head, sam: FrozenSam, features: SamFeatures, rows: list[int]) -> MaskLogits:
    """The head's masks of these rows of `make_prompts`, as one batch."""
    prompts = make_prompts()
    shown = group_prompts([prompts[row] for row in rows]), torch.tensor([IMAGE_INDEX[row] for row in rows])
    return head(sam, features, sam.encode_prompts(*move_data_to_device(shown, sam.device)))


def weigh(logits: Tensor) -> Tensor:
    """A loss whose gradient differs from pixel to pixel."""
    return (logits * torch.randn(logits.shape, generator=torch.Generator().manual_seed(2)).to(logits.device)).sum()
