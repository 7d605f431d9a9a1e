"""Pictures of masks that the tests write: discs, edges, classes, palettes."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SIDE = 64
VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)] + [(9, 9, 9)] * 251 + [(224, 224, 192)]
DAVIS = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]


def disc(radius: float = 18, x: float = 30, y: float = 34) -> np.ndarray:
    """(64, 64) bool."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def antialiased(scale: int = 4, **where: float) -> np.ndarray:
    """(64, 64) uint8 with grey edges: a disc drawn at `scale` times the size and averaged."""
    rows, columns = (np.mgrid[: SIDE * scale, : SIDE * scale] + 0.5) / scale
    radius, x, y = where.get("radius", 18), where.get("x", 30), where.get("y", 34)
    fine = ((rows - y) ** 2 + (columns - x) ** 2 <= radius**2).astype(np.uint8) * 255
    return cv2.resize(fine, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def classes(*values: int, ring: int = 0) -> np.ndarray:
    """(64, 64) uint8: discs of the values beside each other, with rings of the ignore value 255 around them."""
    plane = np.zeros((SIDE, SIDE), np.uint8)
    for place, value in enumerate(values):
        x, y = 12 + 20 * (place % 3), 12 + 20 * (place // 3)
        if ring:
            plane[disc(8 + ring, x, y)] = 255
        plane[disc(8, x, y)] = value
    return plane


def palette(indices: np.ndarray, colours: list[tuple[int, int, int]]) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette([channel for colour in colours for channel in colour])
    return image


def rgba(colours: np.ndarray, alpha: np.ndarray) -> Image.Image:
    image = Image.fromarray(colours.astype(np.uint8)).convert("RGB")
    image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return image


def save(folder: Path, *pictures: np.ndarray | Image.Image, suffix: str = ".png", **options: int) -> list[Path]:
    """Saves pictures as 0.png, 1.png, ... and gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, picture in enumerate(pictures):
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        paths.append(folder / f"{number}{suffix}")
        image.save(paths[-1], **options)
    return paths
