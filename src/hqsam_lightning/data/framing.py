"""Two ways of fitting a photo, or a cut of it, into the model's square frame, and back: stretched, or padded."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from hqsam_lightning.cuts import Cut, cut_around
from hqsam_lightning.data.transforms import Framed, frame_masks, place

PIXEL_MEAN = (123.675, 116.28, 103.53)
"""Of SAM's normalisation (RGB, 0 to 255): what padding has, so that it is 0 afterwards."""


class Frame(ABC):
    """How images are fitted into the model's frame.

    Args:
        image_size: side of the frame in pixels.
        margin: shows each prompt the cut of a photo around its box, see `cut_around`; None shows it the whole photo.
    """

    kind = ""

    def __init__(self, image_size: int, margin: float | None = None) -> None:
        self.image_size = image_size
        self.margin = margin

    @property
    def suffix(self) -> str:
        """Behind the names of prompts in tables, so that no two frames share a name."""
        return self.kind if self.margin is None else f"{self.kind}@zoom{self.margin:g}"

    def cut(self, box: Sequence[float], size: Sequence[int]) -> Cut | None:
        """What a prompt is shown of a photo.

        Args:
            box: xyxy of the prompt, in pixels of the photo.
            size: (H0, W0) of the photo.

        Returns:
            None where that is the whole photo.
        """
        return None if self.margin is None else cut_around(box, size, self.margin)

    @abstractmethod
    def place(self, image: np.ndarray, masks: np.ndarray, ignore: np.ndarray | None = None) -> Framed:
        """Fits a photo in.

        Args:
            image: (H0, W0, 3) uint8.
            masks: (M, H0, W0) float32, each with an object pixel that is not ignored.
            ignore: (H0, W0) bool; None where nothing is ignored.
        """

    def fit(self, image: np.ndarray) -> Tensor:
        """Fits an (H0, W0, 3) uint8 photo, or a cut of one, in: (3, H, W), uint8 or float32."""
        return to_planes(self.place(image, np.zeros((0, *image.shape[:2]), np.float32)).image)

    def show(self, boxes: Tensor, size: Sequence[int]) -> tuple[list[Cut], Tensor]:
        """Shows boxes what they prompt for.

        Args:
            boxes: (N, 4) xyxy in pixels of a photo.
            size: (H0, W0) of the photo.

        Returns:
            What each is shown, a cut or all of the photo, and (N, 4) the boxes in pixels of the frame.
        """
        cuts = [self.cut(box, size) or Cut(0, 0, size[1], size[0]) for box in boxes.tolist()]
        corners = torch.tensor([[cut.left, cut.top] * 2 for cut in cuts])
        scales = torch.tensor([[*self.scale(cut.size)] * 2 for cut in cuts])
        return cuts, (boxes - corners) / scales

    def restore(self, logits: Tensor, size: Sequence[int], cut: Cut | None = None) -> Tensor:
        """Turns (1, 4h, 4w) logits into the (1, H0, W0) bool mask of the photo's own size; see `enlarge`."""
        if cut is None:
            return self.enlarge(logits, size) > 0
        return cut.paste(self.enlarge(logits, cut.size) > 0, size, False)

    def enlarge(self, logits: Tensor, size: Sequence[int], cut: Cut | None = None) -> Tensor:
        """Resizes (1, 4h, 4w) logits to (1, H0, W0) float32 of the photo's own size.

        Args:
            logits: of a prompt.
            size: (H0, W0) of the photo.
            cut: what the prompt was shown of it, outside of which the logits are -infinity; None is the whole photo.
        """
        if cut is None:
            return self._enlarge(logits, size)
        return cut.paste(self._enlarge(logits, cut.size), size, -math.inf)

    @abstractmethod
    def _enlarge(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Resizes (1, 4h, 4w) logits to (1, H0, W0) float32 of a whole photo."""

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

    def _enlarge(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        return _resize(logits, size)

    def inside(self, size: Sequence[int]) -> tuple[int, int]:
        """All of the frame."""
        return self.image_size, self.image_size


class Pad(Frame):
    """Longest side to the frame's, padded right and bottom, as SAM's own predictor does.

    The image is resized with antialiasing and becomes float32, because its padding is no whole number.
    """

    kind = "@pad"

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

    def _enlarge(self, logits: Tensor, size: Sequence[int]) -> Tensor:
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


SHOWN = ("photo", "box", "both")
"""What prompts are shown: whole photos, the cut around each box, or one and then the other."""


def margins_of(shown: str, margin: float) -> list[float | None]:
    """The margins of the frames that a key of `SHOWN` asks for."""
    margins: dict[str, list[float | None]] = {"photo": [None], "box": [margin], "both": [None, margin]}
    return margins[shown]


def to_planes(image: np.ndarray) -> Tensor:
    """(H, W, 3) array to (3, H, W) tensor."""
    planes = np.empty((3, *image.shape[:2]), image.dtype)
    cv2.split(image, list(planes))  # several times as fast as a transposed copy
    return torch.from_numpy(planes)


def _resize(logits: Tensor, size: Sequence[int]) -> Tensor:
    """(1, h, w) -> (1, H, W), bilinear."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits.float()
    return F.interpolate(logits[None].float(), tuple(size), mode="bilinear", align_corners=False)[0]
