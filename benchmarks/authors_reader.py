"""The authors' way from two files to a jittered training sample, as a peer to measure against.

As in the released training code: both files are decoded, turned into float32 tensors, flipped, resized whole by
`F.interpolate`, cropped and padded.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
import torch.nn.functional as F
from skimage.io import imread
from torch import Tensor

from hqsam_lightning.data.jitter import IMAGE_PADDING


def read_and_jitter(
    photo: Path, mask: Path, image_size: int, flip: bool, scale: float, rng: random.Random
) -> tuple[Tensor, Tensor]:
    """Reads one pair.

    Args:
        photo: an RGB or grey photo.
        mask: a grey mask.
        image_size: side of the output frame.
        flip: whether to mirror it.
        scale: longest side as a multiple of image_size.
        rng: draws the crop's corner, y before x.

    Returns:
        (3, image_size, image_size) uint8 and (1, image_size, image_size) float32 of 0 to 255.
    """
    pixels, label = imread(photo), imread(mask)
    if label.ndim > 2:
        label = label[:, :, 0]
    if pixels.ndim < 3:
        pixels = pixels[:, :, None].repeat(3, axis=2)
    image = torch.tensor(pixels.copy(), dtype=torch.float32).permute(2, 0, 1)
    target = torch.tensor(label.copy(), dtype=torch.float32)[None]
    if flip:
        image, target = image.flip(-1), target.flip(-1)
    height, width = image.shape[-2:]
    factor = max(1, round(scale * image_size)) / max(height, width)
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    image = F.interpolate(image[None], size, mode="bilinear", align_corners=False)[0]
    target = F.interpolate(target[None], size, mode="bilinear", align_corners=False)[0]
    top, left = (rng.randint(0, max(side - image_size, 0)) for side in size)
    image = image[:, top : top + image_size, left : left + image_size]
    target = target[:, top : top + image_size, left : left + image_size]
    below, right = image_size - image.shape[1], image_size - image.shape[2]
    image = F.pad(image, (0, right, 0, below), value=IMAGE_PADDING)
    return image.to(torch.uint8), F.pad(target, (0, right, 0, below))
