"""Parts of photographs with the masks that SAM-nano found in them, shipped in this folder to train on beside scenes.

README.md names the photographs' sources and licences, and how the masks were made.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from hqsam_lightning.data.sets import DataSets, folder_sets

FOLDER = Path(str(files(__name__)))
COUNT = 150


def shipped_self_masked() -> DataSets:
    """Sets that train on the shipped pairs, and validate on nothing.

    Raises:
        DataError: a file is missing or damaged.
    """
    source = {
        "images": "images",
        "masks": "masks",
        "image_suffixes": [".jpg"],
        "mask_values": {"object": [255], "ignore": [128]},
        "expected": COUNT,
        "title": "shipped photographs with SAM-nano's masks",
        "license": "LicenseRef-public-domain",
        "note": "README.md beside them names their sources; they come with the package.",
    }
    return folder_sets({"self_masked": source}, ["self_masked"], [], str(FOLDER), holdout=0)
