"""Where numbers of double precision can be computed."""

from __future__ import annotations

from torch import Tensor

NO_FLOAT64 = ("mps",)
"""Types of devices that have no float64."""


def where_float64(values: Tensor) -> Tensor:
    """The values on their device, or on the CPU where the device has no float64."""
    return values.cpu() if values.device.type in NO_FLOAT64 else values
