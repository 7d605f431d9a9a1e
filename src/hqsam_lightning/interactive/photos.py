"""Photos of the demo: examples, and those that a browser uploads, read within limits."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data as photographs

from hqsam_lightning.data.datasets import Scenes
from hqsam_lightning.data.image_files import open_image
from hqsam_lightning.data.reading import read_image
from hqsam_lightning.errors import DataError
from hqsam_lightning.storage.files import require_regular_file

LONGEST_SHOWN = 1280
"""Pixels of the longer side of a photo as a page shows it."""
PHOTOGRAPHS = ("chelsea", "astronaut", "coffee", "rocket")
"""In scikit-image's wheel."""
SCENES = (16, 29)
"""Indices of procedural scenes."""
SCENE_SIZE = 512


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo that a person works on.

    Attributes:
        name: for people.
        pixels: (H0, W0, 3) uint8 RGB.
    """

    name: str
    pixels: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """(H0, W0)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @functools.cached_property
    def key(self) -> str:
        """Fingerprint of size and pixels, the same for the same photo in another session."""
        digest = hashlib.blake2b(repr(self.size).encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self.pixels).data)
        return digest.hexdigest()

    @functools.cached_property
    def shown(self) -> np.ndarray:
        """(H, W, 3) uint8, scaled down to at most `LONGEST_SHOWN` pixels on the longer side."""
        height, width = self.size
        scale = LONGEST_SHOWN / max(height, width)
        if scale >= 1:
            return self.pixels
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(Image.fromarray(self.pixels).resize(size, Image.Resampling.BOX))


def read_upload(path: object, folder: Path, most_pixels: int) -> Photo:
    """Reads a photo that a browser uploaded and names by its path.

    Args:
        path: as the browser says; it may be anything.
        folder: of uploads; nothing outside of it is opened.
        most_pixels: larger photos are refused by their header.

    Raises:
        DataError: it is not a path in that folder, or not a photo within the limits; the message names the file
            without its folder.
    """
    file = _inside(path, folder)
    try:
        with open_image(file, most_pixels):
            # the header alone: nothing is decoded before it is known to be small enough
            pass
        return Photo(file.name, read_image(file))
    except DataError as error:
        raise DataError(str(error).replace(str(file), file.name)) from error


def example_photos() -> list[Photo]:
    """Two procedural scenes, and photographs of scikit-image."""
    scenes = Scenes(max(SCENES) + 1, image_size=SCENE_SIZE, split="val", objects=(1, 2))
    drawn = [Photo(f"scene {index}", scenes[index].image) for index in SCENES]
    return drawn + [Photo(name, getattr(photographs, name)()) for name in PHOTOGRAPHS]


def _inside(path: object, folder: Path) -> Path:
    """The file that a path means, links resolved."""
    refused = DataError("expected a photo that was uploaded to this page; drop one on it, or choose one")
    if not isinstance(path, str) or "\0" in path:
        raise refused
    try:
        file = Path(path).resolve()
    except (OSError, RuntimeError) as cause:
        raise refused from cause
    if not file.is_relative_to(folder.resolve()):
        raise refused
    try:
        require_regular_file(file, DataError, "drop the photo on the page again")
    except DataError as cause:
        raise refused from cause
    return file
