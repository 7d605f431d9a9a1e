"""Chooses what prompts the photos by the config's keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from hqsam_lightning.config import as_plain
from hqsam_lightning.data.mask_values import mask_values_from_config
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.inference.objects import ObjectPrompt
from hqsam_lightning.prediction.photos import Photo
from hqsam_lightning.prediction.prompt_files import as_box, as_point, read_prompt_file
from hqsam_lightning.prediction.prompts import PromptedPhotos, by_masks, same_for_all

EVERYTHING = "everything"


def select_prompts(config: DictConfig, photos: list[Photo]) -> PromptedPhotos:
    """Reads the prompts that ``prompt``, or ``boxes`` and ``points``, name.

    Args:
        config: of a prediction.
        photos: to prompt.

    Raises:
        HQSamError: the keys exclude each other, or a file cannot be used.
    """
    given = as_plain(config)
    shown = [name for name in ("boxes", "points") if given[name] is not None]
    if shown and given["prompt"] != EVERYTHING:
        raise ConfigError(f"{shown[0]}: expected null beside prompt={given['prompt']}; got {given[shown[0]]}")
    if shown:
        return same_for_all(photos, _objects(given["boxes"], given["points"]))
    if given["prompt"] == EVERYTHING:
        return PromptedPhotos(photos)
    path = Path(given["prompt"])
    if path.is_dir():
        return by_masks(photos, path, mask_values_from_config("mask_values", given["mask_values"]))
    instances = given["instances"]
    return read_prompt_file(path, photos, None if instances is None else Path(instances), given["min_score"])


def _objects(boxes: Any, points: Any) -> list[ObjectPrompt]:
    try:
        read = [as_box(box) for box in boxes or ()]
        shown = tuple(as_point(point) for point in points or ())
    except ValueError as error:
        raise ConfigError(f"boxes, points: {error}") from error
    if shown and len(read) > 1:
        raise ConfigError(f"points: expected at most one box beside them; got {len(read)}; write a file of prompts")
    if shown:
        return [ObjectPrompt(read[0] if read else None, shown)]
    if not read:
        raise ConfigError("boxes, points: expected at least one; got none")
    return [ObjectPrompt(box) for box in read]
