"""Reads a mask file as one mask."""

from pathlib import Path

import numpy as np

from hqsam_lightning.data.mask_values import SOFT, MaskValues
from hqsam_lightning.data.reading import read_masks


def read_mask(path: str | Path, values: MaskValues = SOFT) -> np.ndarray:
    """(H, W) float32 in [0, 1]: the one mask of a file, or all its instances as one."""
    return read_masks([path], values).masks.max(0)
