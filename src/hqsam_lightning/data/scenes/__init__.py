"""Procedural scenes: families of objects, textures, painting, and coarse masks."""

from hqsam_lightning.data.scenes.coarse import coarsen
from hqsam_lightning.data.scenes.scenes import SyntheticScenes

__all__ = ["SyntheticScenes", "coarsen"]
