"""Where a model runs."""

from __future__ import annotations

import torch

from hqsam_lightning.errors import ConfigError


def device_of(name: str) -> torch.device:
    """The device of a name; "auto" is a GPU where there is one.

    Raises:
        ConfigError: torch has none of it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as cause:
        reason = str(cause).splitlines()[0]
        raise ConfigError(f"device: expected auto, or a device of this machine; got {name!r}: {reason}") from cause
