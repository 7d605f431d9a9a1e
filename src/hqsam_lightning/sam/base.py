"""What a frozen and a trainable SAM share: the parts, normalised images, and autocast."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam
from torch import Tensor, nn

from hqsam_lightning.errors import choice_error

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class SamModel(nn.Module):
    """segment-anything's model, over batches of several images.

    Args:
        sam: the model.
        precision: of `autocast`.

    Attributes:
        precisions: that are allowed.
        precision_key: config key of the precision, for errors.

    Raises:
        ConfigError: for another precision.
    """

    precisions: ClassVar[tuple[str, ...]] = tuple(PRECISIONS)
    precision_key: ClassVar[str] = "sam.precision"

    def __init__(self, sam: Sam, precision: str) -> None:
        super().__init__()
        if precision not in self.precisions:
            raise choice_error(self.precision_key, precision, self.precisions)
        self.sam = sam
        self.precision = precision

    @property
    def prompt_encoder(self) -> PromptEncoder:
        """SAM's prompt encoder."""
        return cast(PromptEncoder, self.sam.prompt_encoder)

    @property
    def mask_decoder(self) -> MaskDecoder:
        """SAM's mask decoder."""
        return cast(MaskDecoder, self.sam.mask_decoder)

    def normalise(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 RGB images as the image encoder takes them, in float32."""
        return (images - self.sam.pixel_mean) / self.sam.pixel_std

    def autocast(self, device: torch.device) -> torch.autocast:
        """A context in which the model runs in its precision."""
        dtype = PRECISIONS[self.precision]
        return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
