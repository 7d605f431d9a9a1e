"""From images and coordinates to the input frame, as segment-anything's predictor does it."""

from __future__ import annotations

import numpy as np
import torch
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor
from torch.nn import functional as F


class SquareFrame(ResizeLongestSide):
    """segment-anything's transform; its published `apply_image_torch` takes the size of a tensor from wrong axes."""

    def apply_image_torch(self, image: Tensor) -> Tensor:
        """Resizes images so that the longest side is that of the input frame.

        Whole numbers from 0 to 255, a photo's, become what `apply_image` makes of the same array: Pillow resizes them,
        on the CPU, and rounds after each axis, which masks depend on. Other values are resized by torch, on the device.

        Args:
            image: (B, 3, H0, W0), 0 to 255, of any type.

        Returns:
            (B, 3, H, W) of the same type, on the same device.
        """
        pixels = image.to(torch.uint8)
        if pixels.equal(image):
            arrays = pixels.permute(0, 2, 3, 1).cpu().numpy()
            resized = np.stack([self.apply_image(array) for array in arrays])
            return torch.from_numpy(resized).permute(0, 3, 1, 2).to(image)
        size = self.get_preprocess_shape(image.shape[-2], image.shape[-1], self.target_length)
        return F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)
