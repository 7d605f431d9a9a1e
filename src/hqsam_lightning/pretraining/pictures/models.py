"""Textured models of Sweet Home 3D's furniture catalogues, in the order in which they are numbered."""

from __future__ import annotations

import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from hqsam_lightning.errors import DataError

ENTRY = re.compile(r"^(\w+)#(\d+)=(.*)$", re.MULTILINE)
PROPERTIES = "PluginFurnitureCatalog.properties"


def unpack_models(catalogues: Path, folder: Path) -> list[Path]:
    """Unpacks the catalogues, and lists the OBJ files that they name: catalogue by catalogue, in their own order.

    Args:
        catalogues: folder of .sh3f files, which are ZIP archives.
        folder: to unpack into, a subfolder for each catalogue.

    Raises:
        DataError: there is no catalogue.
    """
    paths = sorted(catalogues.glob("*.sh3f"))
    if not paths:
        raise DataError(f"{catalogues}: expected Sweet Home 3D's catalogues (.sh3f), found none; run `make pictures`")
    models: list[Path] = []
    for path in paths:
        place = folder / path.stem
        with zipfile.ZipFile(path) as archive:
            archive.extractall(place)
        models += _listed(place)
    return models


def _listed(place: Path) -> Iterator[Path]:
    entries: dict[int, dict[str, str]] = defaultdict(dict)
    for key, number, value in ENTRY.findall((place / PROPERTIES).read_text("latin-1")):
        entries[int(number)][key] = value.strip()
    for number in sorted(entries):
        yield place / entries[number]["model"].lstrip("/")
