"""Families of objects by name, each with the weight it is drawn with. To add one, write it and list it here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from hqsam_lightning.data.scenes.families.animals import bird, butterfly, creature, fish, person, quadruped
from hqsam_lightning.data.scenes.families.built import car, house
from hqsam_lightning.data.scenes.families.fur import furball
from hqsam_lightning.data.scenes.families.glyphs import glyphs
from hqsam_lightning.data.scenes.families.meshes import cable, chain, fence, net
from hqsam_lightning.data.scenes.families.plants import coral, flower, leaf, mushroom, tree
from hqsam_lightning.data.scenes.families.solid import blob, polygon, ring
from hqsam_lightning.data.scenes.families.tools import balloon, bicycle, chair, comb, ladder, umbrella, wheel
from hqsam_lightning.data.scenes.families.vessels import cup, lamp, vase
from hqsam_lightning.data.scenes.strokes import Stroke

__all__ = ["FAMILIES", "MIXED", "SOLID", "THIN", "WEIGHTS", "Family", "blob", "draw_family"]

Family = Callable[[Generator, float], list[Stroke]]  # (rng, width of thin parts in px) -> strokes

# what an object mostly is: a solid shape, a solid body with thin parts, or thin structure alone
SOLID: dict[Family, float] = {
    blob: 2.0,
    polygon: 1.0,
    ring: 1.0,
    bird: 1.5,
    fish: 1.5,
    quadruped: 3.0,
    person: 2.0,
    leaf: 1.0,
    mushroom: 1.0,
    vase: 1.5,
    cup: 1.5,
    car: 1.5,
    house: 1.0,
    glyphs: 1.5,
}
MIXED: dict[Family, float] = {
    creature: 1.0,
    butterfly: 1.0,
    flower: 1.0,
    lamp: 1.0,
    umbrella: 1.0,
    balloon: 1.0,
    furball: 2.0,
}
THIN: dict[Family, float] = {
    tree: 1.5,
    coral: 1.0,
    wheel: 1.0,
    bicycle: 1.0,
    chair: 1.5,
    ladder: 0.5,
    comb: 0.5,
    net: 0.5,
    fence: 0.75,
    chain: 0.75,
    cable: 0.75,
}

WEIGHTS: dict[str, float] = {family.__name__: weight for family, weight in (SOLID | MIXED | THIN).items()}
FAMILIES: dict[str, Family] = {family.__name__: family for family in (SOLID | MIXED | THIN)}
_CUMULATIVE = np.cumsum(list(WEIGHTS.values()))


def draw_family(rng: Generator, thin: float) -> list[Stroke]:
    """Draws an object of a family chosen by weight, its thin parts `thin` px wide in a 256 px frame."""
    index = int(np.searchsorted(_CUMULATIVE, rng.uniform(0, _CUMULATIVE[-1]), side="right"))
    return list(FAMILIES.values())[index](rng, thin)
