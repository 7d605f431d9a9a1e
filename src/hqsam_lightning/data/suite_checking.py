"""Checks the files that a suite of an evaluation reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hqsam_lightning.data.checking import TARGET, Checked, check_sets, problems_of
from hqsam_lightning.data.clip_checking import check_clips
from hqsam_lightning.data.datasets import CocoInstances
from hqsam_lightning.errors import DataError

NAME = "@name"
"""Stands for a set's name in the paths of a suite of several."""


def check_suite(suite: Mapping[str, Any], check: str) -> list[Checked]:
    """Checks each set of a suite: of photos with mask files, of a JSON file in COCO's format, or of clips.

    Args:
        suite: its config, as plain values.
        check: ``"quick"`` or ``"full"``.
    """
    sets = suite.get("sets", {})
    if TARGET in sets:
        return check_sets(sets, None, check)
    if sets:
        return [_check_instances(name, files, check) for name, files in sets.items()]
    if "names" in suite:
        return [_check_instances(name, suite, check) for name in suite["names"]]
    names = suite.get("clips")
    return [check_clips(Path(suite["images"]), Path(suite["annotations"]), Path(names) if names else None, check)]


def _check_instances(name: str, files: Mapping[str, Any], check: str) -> Checked:
    annotations, images = (files[key].replace(NAME, name) for key in ("annotations", "images"))
    try:
        found = CocoInstances(annotations, images, check=check, exif=files["exif"], name=name)
    except DataError as error:
        return Checked(name, problems=problems_of(error))
    return Checked(
        name, photos=len(found), masks=sum(len(found.read_masks(photo).segmentations) for photo in found.photos)
    )
