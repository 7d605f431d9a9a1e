"""Procedural scenes with exact masks, made without any file: a set of samples like any other."""

from __future__ import annotations

import numpy as np

from hqsam_lightning.checks import arguments, boolean, choice, integer, number, optional, rising_pair, text
from hqsam_lightning.data.scenes.coarse import coarsen
from hqsam_lightning.data.scenes.cutouts import Backgrounds, Cutouts
from hqsam_lightning.data.scenes.drawing import place_objects
from hqsam_lightning.data.scenes.painting import paint_scene
from hqsam_lightning.types import Identity, Sample

SPLITS = ("train", "val")
MASKS = ("fine", "coarse")
MIN_IMAGE_SIZE, MAX_IMAGE_SIZE = 64, 8192

SCENES = {
    "image_size": integer(MIN_IMAGE_SIZE, MAX_IMAGE_SIZE),
    "seed": integer(0, 2**32 - 1),
    "objects": rising_pair(),
    "masks": choice(*MASKS),
    "coarseness": number(0, 10),
    "thin_objects": boolean(),
    "cutouts": optional(text(1)),
    "cutout_share": number(0, 1),
    "recoloured_share": number(0, 1),
    "backgrounds": optional(text(1)),
    "background_share": number(0, 1),
    "smallest_object": optional(number(0.02, 0.7)),
}
"""What the arguments of scenes have to be."""


class Scenes:
    """Procedural scenes made on request; each follows from (seed, split, index) and these arguments alone.

        >>> from hqsam_lightning.data.datasets import Scenes
        >>> Scenes(10, image_size=64)[0].image.shape
        (64, 64, 3)

    Args:
        size: number of scenes.
        image_size: side of the square photos.
        seed: another seed gives other scenes.
        split: ``"train"`` or ``"val"``; they share no scene.
        objects: least and most objects a scene; fewer remain where one would be hidden.
        masks: ``"fine"``, the exact masks, or ``"coarse"``, what `coarsen` leaves of them; the photos are the same.
        coarseness: how far coarse masks are from the exact ones, see `coarsen`.
        thin_objects: whether masked objects may be thin (`hqsam_lightning.metrics.is_thin`).
        name: name of the set, the first part of the sample ids.
        cutouts: folder of image files with an alpha channel, which some of the objects are then, see `Cutouts`.
        cutout_share: of the objects that are cut-outs.
        recoloured_share: of the cut-outs that get parts of other colours and textures.
        backgrounds: folder of photographs, which some of the scenes have as background, see `Backgrounds`.
        background_share: of the scenes that have a photograph as background.
        smallest_object: longer side of the smallest objects as a share of the photo's, see `place_objects`.

    Raises:
        ConfigError: for a value out of range, named with its key.
        DataError: for a folder without images.
    """

    @arguments("data", size=integer(1), split=choice(*SPLITS), **SCENES)
    def __init__(
        self,
        size: int,
        image_size: int = 256,
        seed: int = 0,
        split: str = "train",
        objects: tuple[int, int] | list[int] = (1, 3),
        masks: str = "fine",
        coarseness: float = 1.0,
        thin_objects: bool = True,
        name: str = "synthetic",
        cutouts: str | None = None,
        cutout_share: float = 0.7,
        recoloured_share: float = 0.0,
        backgrounds: str | None = None,
        background_share: float = 0.6,
        smallest_object: float | None = None,
    ) -> None:
        self.size, self.image_size, self.seed, self.split = size, image_size, seed, split
        self.objects, self.masks, self.coarseness = (objects[0], objects[1]), masks, coarseness
        self.thin_objects, self.name = thin_objects, name
        self.smallest_object = smallest_object
        self.cutouts = None if cutouts is None else Cutouts(cutouts, cutout_share, recoloured_share)
        self.backgrounds = None if backgrounds is None else Backgrounds(backgrounds, background_share)

    def __len__(self) -> int:
        return self.size

    def identify(self, index: int) -> Identity:
        """Identifies a scene by the arguments that it follows from."""
        masks = f"{self.masks} {self.coarseness}" if self.masks == "coarse" else self.masks
        content = f"{self.image_size} px, seed {self.seed}, objects {self.objects} thin {self.thin_objects}, {masks}"
        if self.smallest_object is not None:
            content += f", from {self.smallest_object} on"
        pictures = [each.facts for each in (self.cutouts, self.backgrounds) if each is not None]
        return Identity(self._sample_id(index), self.name, ", ".join([content, *pictures]))

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.size:
            raise IndexError(f"expected an index from 0 to {self.size - 1} of {self.name}/{self.split}, got {index}")
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(SPLITS.index(self.split), index)))
        wanted = int(rng.integers(*self.objects, endpoint=True))
        objects, visible = place_objects(
            rng, self.image_size, wanted, self.thin_objects, self.cutouts, self.smallest_object
        )
        image = paint_scene(rng, self.image_size, objects, self.backgrounds)
        masks = np.stack(visible)[..., 0]
        if self.masks == "coarse":
            masks = np.stack([coarsen(mask, self.coarseness) for mask in masks])
        return Sample(image, masks, self._sample_id(index), self.name)

    def _sample_id(self, index: int) -> str:
        return f"{self.name}/{self.split}/{index:06d}"
