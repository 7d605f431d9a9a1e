"""`torch.compile` of the frozen encoder, which says what its first call costs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

Encode = Callable[[nn.Module, Tensor], tuple[Tensor, Tensor]]


class Compiled:
    """Compiles at the first call, and logs how long that call took.

    Args:
        encode: final and early features of an encoder and normalised images.
    """

    def __init__(self, encode: Encode) -> None:
        self.encode = torch.compile(encode)
        self.first_call_s: float | None = None

    def __call__(self, encoder: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes as the function does."""
        if self.first_call_s is not None:
            return self.encode(encoder, images)
        start = time.perf_counter()
        features = self.encode(encoder, images)
        self.first_call_s = time.perf_counter() - start
        log.info("sam.compile: compiled the image encoder; its first call took %.1f s", self.first_call_s)
        return features
