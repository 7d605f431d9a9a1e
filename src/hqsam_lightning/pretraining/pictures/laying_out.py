"""Copies and renders the listed pictures of unpacked packages into folders of cut-outs and of backgrounds."""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from hqsam_lightning.errors import DataError
from hqsam_lightning.pretraining.pictures.models import unpack_models
from hqsam_lightning.storage.files import write_whole, writing

log = logging.getLogger(__name__)

LISTS = files("hqsam_lightning.sam.shipped") / "pictures"
COPIED = {"cutouts/fluent": "fluent", "cutouts/openclipart": "openclipart", "backgrounds/photos": "photos"}
RENDERED = "cutouts/rendered"
CATALOGUES = "sweethome3d-furniture/usr/share/sweethome3d/furniture"

Renderer = Callable[[Path, np.random.Generator], Iterator[tuple[int, Image.Image]]]


def listed(name: str) -> list[str]:
    """The lines of one of the lists."""
    return (LISTS / f"{name}.txt").read_text().splitlines()


def copy_pictures(packages: Path, out: Path) -> None:
    """Copies what the lists name; a copy is called after its folder and its file.

    Args:
        packages: folder of the unpacked packages, each in a folder of its name.
        out: gets the folders of `COPIED`.

    Raises:
        DataError: a file is missing; nothing is copied.
        StorageError: a file cannot be written.
    """
    wanted = [(packages / line, out / part) for part, name in COPIED.items() for line in listed(name)]
    missing = [path for path, _ in wanted if not path.is_file()]
    if missing:
        raise DataError(
            f"{packages}: expected the {len(wanted)} listed pictures; {len(missing)} are missing, e.g. {missing[0]}; "
            "fetch the packages in the versions that sam/shipped/pictures/README.md names"
        )
    for path, folder in wanted:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / f"{path.parent.name}_{path.name}")
    log.info("%d pictures copied to %s", len(wanted), out)


def render_pictures(packages: Path, out: Path, render: Renderer) -> None:
    """Renders the listed views of Sweet Home 3D's models, of which each has its own random numbers.

    Args:
        packages: as `copy_pictures`.
        out: gets the folder `RENDERED`; views that are there already are not rendered again.
        render: gives a model's views by number, see `rendering.render_views`.

    Raises:
        DataError: the catalogues are missing, or a listed view was not rendered.
        StorageError: a file cannot be written.
    """
    wanted = set(listed("rendered"))
    folder = out / RENDERED
    for number, model in enumerate(unpack_models(packages / CATALOGUES, packages / "models")):
        name = f"{number:03d}_{model.stem.replace(' ', '_')}"
        names = {f"{name}_{view}.webp" for view in range(10)} & wanted
        if all((folder / f"rendered_{each}").exists() for each in names):
            continue
        for view, image in render(model, np.random.default_rng(number)):
            if f"{name}_{view}.webp" in names:
                content = io.BytesIO()
                image.save(content, "webp", quality=92, method=2)
                write_whole(folder / f"rendered_{name}_{view}.webp", content.getvalue())
    found = {path.name.removeprefix("rendered_") for path in folder.glob("*.webp")}
    if absent := sorted(wanted - found):
        raise DataError(f"{folder}: expected {len(wanted)} views; {len(absent)} are missing, e.g. {absent[0]}")
    log.info("%d views in %s", len(wanted), folder)
