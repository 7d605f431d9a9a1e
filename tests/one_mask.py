"""Reads mask files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hqsam_lightning.data.mask_pixels import read_mask_pixels
from hqsam_lightning.data.mask_values import SOFT, MaskValues
from hqsam_lightning.data.reading import MasksRead, masks_of


def read_masks(paths: Sequence[Path], values: MaskValues = SOFT, most: int | None = None, photo: str = "") -> MasksRead:
    """The masks of a photo's mask files."""
    return masks_of([read_mask_pixels(path) for path in paths], values, most, photo)


def read_mask(path: str | Path, values: MaskValues = SOFT) -> np.ndarray:
    """(H, W) float32 in [0, 1]: the one mask of a file, or all its instances as one."""
    return read_masks([Path(path)], values).masks.max(0)
