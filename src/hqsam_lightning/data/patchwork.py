"""Other appearances of the same photo: patches in other colours, so that masks do not follow every border of colour."""

from __future__ import annotations

from typing import Any

import albumentations as A
import cv2
import numpy as np

from hqsam_lightning.checks import number, require, rising_pair

# waves: cells of the random grid along a side, and how far they move a pixel, as a share of the side
WAVES = ((6, 0.085), (18, 0.03))


class Patchwork(A.ImageOnlyTransform):
    """Repaints patches of an image: colours mixed, brightness moved, the image's own mirrored texture laid over.

    Objects of photographs have parts of many colours and so have their backgrounds; drawn scenes teach a model too
    easily that a border of colour is a border of the mask. Patches are Voronoi cells with wavy borders; what lies under
    them stays visible. Masks stay as they are.

    Args:
        patches: least and greatest number of patches.
        share: of the patches that are repainted.
        p: probability that an image is repainted at all.

    Raises:
        ConfigError: unless 1 <= least <= greatest and 0 <= share <= 1.
    """

    def __init__(self, patches: tuple[int, int] = (3, 11), share: float = 0.65, p: float = 0.85) -> None:
        super().__init__(p=p)
        require("augmentation.appearance, patches", patches, rising_pair())
        require("augmentation.appearance, share", share, number(0, 1))
        self.patches = (patches[0], patches[1])
        self.share = share

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draws the (H, W) patch numbers and each patch's paint."""
        rng = self.random_generator
        count = int(rng.integers(self.patches[0], self.patches[1], endpoint=True))
        height, width = params["shape"][:2]
        patch_of = _wavy_cells(rng, height, width, count)
        paints = {patch: _draw_paint(rng) for patch in range(count) if rng.random() < self.share}
        return {"patch_of": patch_of, "paints": paints}

    def apply(self, img: np.ndarray, patch_of: np.ndarray, paints: dict[int, Any], **params: Any) -> np.ndarray:
        """Repaints the (H, W, 3) uint8 image."""
        pixels = img.astype(np.float32)
        texture = pixels[::-1, ::-1] - pixels.mean(axis=(0, 1))
        painted = pixels.copy()
        for patch, (mixing, brightness, strength) in paints.items():
            inside = patch_of == patch
            painted[inside] = pixels[inside] @ mixing + brightness + strength * texture[inside]
        return painted.clip(0, 255).astype(np.uint8)


def _wavy_cells(rng: np.random.Generator, height: int, width: int, count: int) -> np.ndarray:
    """Which of `count` random points is nearest, (H, W), where random waves move the pixels."""
    side = max(height, width)
    where = np.moveaxis(np.indices((height, width), dtype=np.float32), 0, -1)
    for grid, share in WAVES:
        wave = rng.normal(0, share * side, (grid, grid, 2)).astype(np.float32)
        where += cv2.resize(wave, (width, height), interpolation=cv2.INTER_CUBIC)
    points = rng.uniform(0, (height, width), (count, 2)).astype(np.float32)
    return np.asarray(np.square(where[:, :, None] - points).sum(axis=-1).argmin(axis=-1))


def _draw_paint(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """A (3, 3) mixing of the colours, what is added to each, and how strong the mirrored texture is."""
    mixing = np.eye(3) * rng.uniform(0.5, 1.3) + rng.normal(0, 0.15, (3, 3))
    brightness = rng.normal(0, 35, 3)
    strength = rng.uniform(0.1, 0.5) if rng.random() < 0.5 else 0.0
    return mixing.astype(np.float32), brightness.astype(np.float32), strength
