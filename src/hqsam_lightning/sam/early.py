"""Image encoders that give the early feature of HQ-SAM's heads on the way to the final one."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from hqsam_lightning.errors import ConfigError

STRIDE = 16


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


def check_frame(encoder: str, image_size: int, patch_size: int) -> None:
    """Refuses frames that an encoder of stride 16 with even grids cannot have.

    Args:
        encoder: its name, for errors.
        image_size: side of the square input frame in pixels.
        patch_size: pixels of the input frame a cell of the embedding grid.

    Raises:
        ConfigError: naming the key.
    """
    if patch_size != STRIDE:
        raise ConfigError(f"sam.patch_size: expected {STRIDE}, {encoder}'s stride; got {patch_size}")
    if image_size % (2 * STRIDE):
        raise ConfigError(f"sam.image_size: expected a multiple of {2 * STRIDE} for {encoder}; got {image_size}")
