"""A contact sheet of procedural scenes: each photo, its exact masks and its coarse ones."""

from __future__ import annotations

import numpy as np

from hqsam_lightning.data.datasets import Scenes
from hqsam_lightning.data.overlay import tint
from hqsam_lightning.data.scenes.coarse import coarsen
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.types import Sample


def contact_sheet(scenes: Scenes, rows: int, columns: int) -> np.ndarray:
    """Lays out the first rows * columns scenes, each as photo, exact masks, coarse masks.

    Args:
        scenes: with fine masks.
        rows: of scenes.
        columns: of scenes; each is three photos wide.

    Returns:
        (rows * S, columns * 3 * S, 3) uint8 RGB, S the side of a scene in pixels.

    Raises:
        ConfigError: when there are fewer scenes, or their masks are coarse already.
    """
    if scenes.masks != "fine":
        raise ConfigError(f"data.masks: expected 'fine', which the sheet sets beside coarse ones; got {scenes.masks!r}")
    if not 1 <= rows * columns <= len(scenes):
        raise ConfigError(
            f"rows, columns: expected 1 to {len(scenes)} scenes; got {rows} x {columns}; raise data.val_size"
        )
    tiles = [_tile(scenes[index], scenes.coarseness) for index in range(rows * columns)]
    return np.vstack([np.hstack(tiles[row * columns : (row + 1) * columns]) for row in range(rows)])


def _tile(sample: Sample, coarseness: float) -> np.ndarray:
    coarse = np.stack([coarsen(mask, coarseness) for mask in sample.masks])
    return np.hstack([sample.image, tint(sample.image, sample.masks), tint(sample.image, coarse)])
