"""From images and coordinates to the input frame, as segment-anything's predictor does it."""

from __future__ import annotations

from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor
from torch.nn import functional as F


class SquareFrame(ResizeLongestSide):
    """segment-anything's transform; its published `apply_image_torch` takes the size of a tensor from wrong axes."""

    def apply_image_torch(self, image: Tensor) -> Tensor:
        """Resizes (B, C, H0, W0) float images so that the longest side is that of the input frame."""
        height, width = self.get_preprocess_shape(image.shape[-2], image.shape[-1], self.target_length)
        return F.interpolate(image, (height, width), mode="bilinear", align_corners=False, antialias=True)
