"""Writes a contact sheet of the procedural scenes: `python -m hqsam_lightning.scenes`."""

from __future__ import annotations

import io
from pathlib import Path

import hydra
import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig
from PIL import Image

from hqsam_lightning.cli import clean_errors, run_hydra
from hqsam_lightning.config import conf_dir
from hqsam_lightning.data.datasets import Scenes
from hqsam_lightning.data.overlay import tint
from hqsam_lightning.data.scenes import coarsen
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.schema import check_config
from hqsam_lightning.storage.files import write_whole
from hqsam_lightning.types import Sample


def draw(config: DictConfig) -> np.ndarray:
    """Draws and writes the sheet.

    Args:
        config: composed from conf/scenes.yaml.

    Returns:
        The sheet, see `contact_sheet`.

    Raises:
        ConfigError: the file is no picture by its name.
        StorageError: the file cannot be written.
    """
    path = Path(config.file).expanduser()
    if path.suffix.lower() not in Image.registered_extensions():
        raise ConfigError(f"file: expected a picture's name such as scenes.jpg; got {config.file}")
    sheet = contact_sheet(instantiate(config.data).validation["synthetic"], config.rows, config.columns)
    size = (sheet.shape[1] * config.percent // 100, sheet.shape[0] * config.percent // 100)
    content = io.BytesIO()
    picture = Image.fromarray(sheet).resize(size, Image.Resampling.LANCZOS)
    picture.save(content, Image.registered_extensions()[path.suffix.lower()])
    write_whole(path, content.getvalue())
    print(f"{config.rows * config.columns} scenes in {path}: photo, exact masks, coarse masks")
    return sheet


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


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="scenes")
@clean_errors
def main(config: DictConfig) -> None:
    """Entry point of the command line."""
    draw(check_config(config, "scenes"))


if __name__ == "__main__":
    run_hydra(main, "scenes")
