"""Image encoders that give the early feature of HQ-SAM's heads on the way to the final one."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class EncoderWithEarly(nn.Module, ABC):
    """An image encoder of a SAM that returns both features of one call.

    Attributes:
        img_size: side of the square input frame in pixels.
        early_dim: channels E of the early feature.
    """

    img_size: int
    early_dim: int

    @abstractmethod
    def with_early(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes (B, 3, H, W) normalised images to the final feature (B, C, h, w) and the early one (B, E, h, w)."""

    def forward(self, images: Tensor) -> Tensor:
        """Encodes (B, 3, H, W) normalised images to the final feature (B, C, h, w)."""
        return self.with_early(images)[0]
