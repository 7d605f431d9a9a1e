"""Procedural scenes: families of objects, textures, painting, and coarse masks."""

from hqsam_lightning.data.scenes.coarse import coarsen

__all__ = ["coarsen"]
