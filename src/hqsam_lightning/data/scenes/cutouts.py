"""Objects cut out of pictures, and photographs to put them before: real things beside the drawn families.

A cut-out is an image file with an alpha channel. Files are drawn by their folder first, so that a folder of a hundred
photographs counts as much as one of thousands of drawings.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from hqsam_lightning.data.catalogue import IMAGE_SUFFIXES
from hqsam_lightning.data.image_files import naming_damage, open_image
from hqsam_lightning.data.scenes.drawing import DrawnObject, draw_object
from hqsam_lightning.data.scenes.textures import texture
from hqsam_lightning.errors import DataError
from hqsam_lightning.storage.files import content_sha256

EMBEDDED = "embedded"
PICTURES = Path(__file__).parent / "pictures"
LONGEST_SIDE = 384  # px of a cut-out, and of the shorter side of a photograph, as they are kept
MIRRORED, TURNED = 0.5, 0.15  # shares of the cut-outs that are mirrored, and turned to any angle
BEYOND = 0.2  # share of the frame that an object may lie outside of it
VISIBLE_ALPHA = 24  # of 255; fainter pixels, as of soft shadows, are no part of the object


class Cutouts:
    """Draws objects: cut-outs at a share, otherwise those of the procedural families.

    Args:
        folder: holds image files with an alpha channel, in itself or in folders, each of which is drawn as often;
            ``"embedded"`` are those that the package ships.
        share: of the objects that are cut-outs, in [0, 1].
        recoloured: share of the cut-outs that `recolour` changes, in [0, 1].

    Raises:
        DataError: the folder holds no image.
    """

    def __init__(self, folder: str | Path, share: float, recoloured: float = 0.0) -> None:
        self.share, self.recoloured = share, recoloured
        self.groups = image_groups("data.cutouts", folder)
        self.facts = f"{share} of the objects of {files_digest(self.groups)}"
        if recoloured:
            self.facts += f", {recoloured} of them recoloured"

    def __call__(self, rng: Generator, size: int, extent: float) -> DrawnObject:
        """Draws an object at a random place and angle; see `draw_object` for the arguments."""
        if rng.random() >= self.share:
            return draw_object(rng, size, extent)
        cutout = read_cutout(pick_file(rng, self.groups))
        if self.recoloured and rng.random() < self.recoloured:
            cutout = recolour(rng, cutout)
        return place_cutout(rng, cutout, size, extent)


class Backgrounds:
    """Draws photographs to put objects before.

    Args:
        folder: holds image files, in itself or in folders, each of which is drawn as often; ``"embedded"`` are those
            that the package ships.
        share: of the scenes that have a photograph as their background, in [0, 1].

    Raises:
        DataError: the folder holds no image.
    """

    def __init__(self, folder: str | Path, share: float) -> None:
        self.share = share
        self.groups = image_groups("data.backgrounds", folder)
        self.facts = f"{share} of the backgrounds of {files_digest(self.groups)}"

    def __call__(self, rng: Generator, size: int) -> np.ndarray | None:
        """A square crop of a photograph, mirrored or not, some out of focus: (size, size, 3) float32 RGB in [0, 255].

        None where the scene has no photograph.

        Raises:
            DataError: the file cannot be decoded.
        """
        if rng.random() >= self.share:
            return None
        photo = _read_photo(pick_file(rng, self.groups))
        side = round(min(photo.shape[:2]) * rng.uniform(0.3, 1))
        top, left = rng.integers(photo.shape[0] - side + 1), rng.integers(photo.shape[1] - side + 1)
        crop = photo[top : top + side, left : left + side][:, :: rng.choice([-1, 1])]
        shrunk = cv2.resize(np.ascontiguousarray(crop), (size, size), interpolation=cv2.INTER_AREA)
        blur = rng.uniform(0.3, 4) if rng.random() < 0.5 else 0.01
        tone = np.float32(rng.uniform(0.6, 1.15))
        return cv2.GaussianBlur(tone * shrunk.astype(np.float32), (0, 0), blur * size / 256)


def pick_file(rng: Generator, groups: list[list[Path]]) -> Path:
    """Draws a group, then one of its files."""
    group = groups[rng.integers(len(groups))]
    return group[rng.integers(len(group))]


def files_digest(groups: list[list[Path]]) -> str:
    """What tells one choice of files from another: a digest of their names and sizes, in order."""
    facts = [[str(Path(path.parent.name) / path.name), path.stat().st_size] for group in groups for path in group]
    return content_sha256(facts)


def image_groups(key: str, folder: str | Path) -> list[list[Path]]:
    """The image files under a folder, or of those that the package ships (`EMBEDDED`), a sorted list for each folder.

    Raises:
        DataError: there are none; it names the key.
    """
    groups: dict[Path, list[Path]] = {}
    root = PICTURES / key.removeprefix("data.") if folder == EMBEDDED else Path(folder).expanduser()
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            groups.setdefault(path.parent, []).append(path)
    if not groups:
        raise DataError(f"{key}={folder}: expected a folder with image files; it holds none, or is missing")
    return list(groups.values())


@lru_cache(maxsize=1024)
def read_cutout(path: Path) -> np.ndarray:
    """Reads a cut-out, cropped to the object: (h, w, 4) uint8, colours times alpha, and alpha.

    Raises:
        DataError: the file cannot be decoded, or shows no object before a transparent background.
    """
    with open_image(path) as image, naming_damage(path):
        pixels = np.asarray(image.convert("RGBA"))
    x, y, width, height = cv2.boundingRect((pixels[..., 3] > VISIBLE_ALPHA).astype(np.uint8))
    if not width:
        raise DataError(f"{path}: expected an object before a transparent background; it shows none; remove the file")
    cropped = pixels[y : y + height, x : x + width].astype(np.float32)
    cropped[..., :3] *= cropped[..., 3:] / 255
    return np.round(_shrink(cropped, LONGEST_SIDE / max(height, width))).astype(np.uint8)


def recolour(rng: Generator, cutout: np.ndarray) -> np.ndarray:
    """Gives one to three parts of a cut-out other colours and textures, as clothes, bark and markings have.

    So what belongs together need not look alike. A part is what lies beyond a wavy line; its own light and dark stay.

    Args:
        rng: everything follows from it.
        cutout: of `read_cutout`, (h, w, 4) uint8; it stays as it is.
    """
    height, width = cutout.shape[:2]
    alpha = cutout[..., 3:].astype(np.float32) / 255
    colours = cutout[..., :3].astype(np.float32)
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in (height, width))
    for _ in range(rng.integers(1, 4)):
        angle = rng.uniform(0, 2 * np.pi)
        coarse = rng.standard_normal((5, 5), np.float32)
        waves = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        line = np.cos(angle) * columns + np.sin(angle) * rows[:, None] + rng.uniform(0, 0.6) * waves
        beyond = np.clip(0.5 + (line - rng.uniform(-0.6, 0.6)) * rng.uniform(5, 40), 0, 1)[..., None]
        part = beyond * alpha
        mean = (colours * beyond).sum((0, 1)) / max(float(part.sum()), 1.0)
        grain = np.float32(rng.uniform(5, 70)) * texture(rng, max(height, width, 16))[:height, :width]
        colours += part * (rng.uniform(0.3, 1) * (rng.uniform(10, 245, 3) - mean) + grain)
    return np.dstack([np.clip(colours, 0, 255 * alpha), cutout[..., 3:]]).round().astype(np.uint8)


def place_cutout(rng: Generator, cutout: np.ndarray, size: int, extent: float) -> DrawnObject:
    """Mirrors, turns, squeezes, scales and shifts a cut-out into the frame, which may cut a part of it off.

    Args:
        rng: everything follows from it.
        cutout: of `read_cutout`, (h, w, 4) uint8.
        size: side of the frame in pixels.
        extent: the object's longer side as a share of the frame's.
    """
    angle = rng.uniform(0, 2 * np.pi) if rng.random() < TURNED else rng.normal(0, 0.15)
    mirror = -1 if rng.random() < MIRRORED else 1
    squeeze = np.diag([mirror * rng.uniform(0.8, 1), rng.uniform(0.8, 1)])
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ squeeze
    height, width = cutout.shape[:2]
    reach = np.abs(linear) @ [width, height]
    scale = extent * size / reach.max()
    cutout = _shrink(cutout, scale)  # an affine map alone would skip pixels
    to_frame = scale * linear * [width / cutout.shape[1], height / cutout.shape[0]]
    free = np.abs(size - scale * reach) / 2 + BEYOND * size * rng.random()
    centre = size / 2 + rng.uniform(-free, free)
    shift = centre - to_frame @ [cutout.shape[1] / 2, cutout.shape[0] / 2]
    moved = cv2.warpAffine(cutout, np.column_stack([to_frame, shift]), (size, size), flags=cv2.INTER_LINEAR)
    alpha = moved[..., 3:].astype(np.float32) / 255
    return DrawnObject(alpha, [], extent, moved[..., :3] / np.maximum(alpha, 1 / 255))


@lru_cache(maxsize=256)
def _read_photo(path: Path) -> np.ndarray:
    """Reads a photograph as (h, w, 3) uint8 RGB, with a shorter side of at most LONGEST_SIDE px."""
    with open_image(path) as image, naming_damage(path):
        pixels = np.asarray(image.convert("RGB"))
    return _shrink(pixels, LONGEST_SIDE / min(pixels.shape[:2]))


def _shrink(pixels: np.ndarray, scale: float) -> np.ndarray:
    if scale >= 1:
        return pixels
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
