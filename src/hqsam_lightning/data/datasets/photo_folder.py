"""A folder of photos and mask files, as a set of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hqsam_lightning.data.catalogue import IMAGE_SUFFIXES, Source
from hqsam_lightning.data.datasets.photo_pairs import PhotoPairs
from hqsam_lightning.data.inspection import inspect_sources
from hqsam_lightning.data.mask_values import AUTO


class PhotoFolder(PhotoPairs):
    """A folder of photos and mask files, paired by their names as `hqsam_lightning.data.listing` says.

        >>> from hqsam_lightning.data.datasets import PhotoFolder
        >>> sample = PhotoFolder("birds")[0]  # doctest: +SKIP
        >>> sample.image.shape, sample.masks.shape  # doctest: +SKIP
        ((400, 300, 3), (1, 400, 300))

    Args:
        root: the folder.
        images: folder of the photos, relative to root; None: ``images`` where root has one, otherwise root itself.
        masks: folder of the masks, relative to root; None: ``masks`` where root has one, otherwise that of the photos.
        mask_suffix: ending of the masks' names; where they lie beside their photos, no photo ends so.
        mask_values: what the masks' values mean, see `Source`.
        max_masks: see `PhotoPairs`.
        check: ``"quick"`` (files pair up, sizes agree) or ``"full"`` (every file is decoded).
        name: see `PhotoPairs`; None: root's.

    Raises:
        ConfigError: a value cannot work.
        DataError: one for all problems of the files.
    """

    def __init__(
        self,
        root: str | Path,
        images: str | None = None,
        masks: str | None = None,
        mask_suffix: str = ".png",
        mask_values: str | Mapping[str, Any] = AUTO,
        max_masks: int | None = None,
        check: str = "quick",
        name: str | None = None,
    ) -> None:
        folder = Path(root).expanduser()
        photos = images or ("images" if (folder / "images").is_dir() else ".")
        beside = photos if masks is None and not (folder / "masks").is_dir() else masks or "masks"
        suffixes = tuple(suffix for suffix in IMAGE_SUFFIXES if beside != photos or suffix != mask_suffix)
        source = Source(
            name=name or folder.resolve().name,
            images=photos,
            masks=beside,
            image_suffixes=suffixes,
            mask_suffix=mask_suffix,
            mask_values=mask_values,
        )
        checked = inspect_sources([source], folder, allow_missing=False, check=check)[source.name]
        super().__init__(source.name, checked.photos, checked.mask_values, max_masks)
