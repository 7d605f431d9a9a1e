"""Two ways of fitting a photo into the model's square frame, and back: stretched, or padded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from hqsam_lightning.data.transforms import Framed, frame_masks, place

PIXEL_MEAN = (123.675, 116.28, 103.53)
"""Of SAM's normalisation (RGB, 0 to 255): what padding has, so that it is 0 afterwards."""


class Frame(ABC):
    """How images are fitted into the model's frame.

    Args:
        image_size: side of the frame in pixels.

    Attributes:
        suffix: behind the names of prompts in tables, so that no two frames share a name.
    """

    suffix = ""

    def __init__(self, image_size: int) -> None:
        self.image_size = image_size

    @abstractmethod
    def place(self, image: np.ndarray, masks: np.ndarray, ignore: np.ndarray | None = None) -> Framed:
        """Fits a photo in.

        Args:
            image: (H0, W0, 3) uint8.
            masks: (M, H0, W0) float32, each with an object pixel that is not ignored.
            ignore: (H0, W0) bool; None where nothing is ignored.
        """

    def restore(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Turns (1, 4h, 4w) logits into the (1, H0, W0) bool mask of the photo's own size."""
        return self.enlarge(logits, size) > 0

    @abstractmethod
    def enlarge(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Resizes (1, 4h, 4w) logits to (1, H0, W0) float32 of the photo's own size."""

    @abstractmethod
    def inside(self, size: Sequence[int]) -> tuple[int, int]:
        """(h, w) of a photo of size (H0, W0) within the frame."""

    def scale(self, size: Sequence[int]) -> tuple[float, float]:
        """Pixels (x, y) of a photo of size (H0, W0) per pixel of the frame."""
        height, width = self.inside(size)
        return size[1] / width, size[0] / height


class Stretch(Frame):
    """Stretched to the square whatever its aspect, as in the authors' evaluation and in training's validation."""

    def place(self, image: np.ndarray, masks: np.ndarray, ignore: np.ndarray | None = None) -> Framed:
        """Resizes image and masks without antialiasing."""
        return place(image, masks, self.inside(image.shape), self.image_size, ignore)

    def enlarge(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Resizes the logits at once."""
        return _resize(logits, size)

    def inside(self, size: Sequence[int]) -> tuple[int, int]:
        """All of the frame."""
        return self.image_size, self.image_size


class Pad(Frame):
    """Longest side to the frame's, padded right and bottom, as SAM's own predictor does.

    The image is resized with antialiasing and becomes float32, because its padding is no whole number.
    """

    suffix = "@pad"

    def place(self, image: np.ndarray, masks: np.ndarray, ignore: np.ndarray | None = None) -> Framed:
        """Resizes and pads image and masks."""
        height, width = self.inside(image.shape)
        side = self.image_size
        return Framed(self.pixels(image), *frame_masks(masks, (height, width), side, ignore))

    def pixels(self, image: np.ndarray) -> np.ndarray:
        """(H0, W0, 3) uint8 photo -> (H, W, 3) float32 values 0 to 255 in the frame."""
        height, width = self.inside(image.shape)
        pixels = np.empty((self.image_size, self.image_size, 3), np.float32)
        pixels[:] = PIXEL_MEAN
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        pixels[:height, :width] = np.asarray(resized)
        return pixels

    def enlarge(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Resizes the logits to the frame, takes the padding off, and resizes to the photo."""
        height, width = self.inside(size)
        framed = _resize(logits, (self.image_size, self.image_size))
        return _resize(framed[..., :height, :width], size)

    def inside(self, size: Sequence[int]) -> tuple[int, int]:
        """Rounded as SAM does."""
        factor = self.image_size / max(size[:2])
        return max(1, int(size[0] * factor + 0.5)), max(1, int(size[1] * factor + 0.5))


FRAMES: Mapping[str, type[Frame]] = {"stretch": Stretch, "pad": Pad}
"""By the name of the protocol."""


def _resize(logits: Tensor, size: Sequence[int]) -> Tensor:
    """(1, h, w) -> (1, H, W), bilinear."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits.float()
    return F.interpolate(logits[None].float(), tuple(size), mode="bilinear", align_corners=False)[0]
