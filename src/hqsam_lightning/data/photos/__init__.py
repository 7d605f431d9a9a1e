"""Photographs with fine masks that are shipped in this folder; README.md names the source and licence of each."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from hqsam_lightning.data.sets import DataSets, folder_sets

FOLDER = Path(str(files(__name__)))
COUNT = 33


def shipped_photos() -> DataSets:
    """Sets that validate on the shipped photographs, and train on nothing.

    Raises:
        DataError: a file is missing or damaged.
    """
    source = {
        "images": "images",
        "masks": "masks",
        "image_suffixes": [".jpg"],
        "mask_values": "binary",
        "expected": COUNT,
        "title": "shipped photographs",
        "license": "LicenseRef-see-README",
        "note": "README.md beside them names the source and licence of each; they come with the package.",
    }
    return folder_sets({"photos": source}, [], ["photos"], str(FOLDER))
