"""What may change the appearance of training images: transforms that leave pixels where they are, and uint8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import albumentations as A
import numpy as np

from hqsam_lightning.errors import ConfigError

KEY = "augmentation.appearance"
RESCALING: tuple[type, ...] = (A.Normalize, A.ToFloat, A.FromFloat)
"""Image transforms that change the range of the pixels: SAM normalises its uint8 input itself."""
GROUPS: tuple[type, ...] = (A.Sequential, A.OneOf, A.SomeOf, A.RandomOrder, A.OneOrOther)
"""Compositions of transforms that may be given as one."""
REMEDY = "see docs/trainer.md"


def appearance_problem(transform: type) -> str | None:
    """Says why a class of transforms cannot be an appearance; None where it can."""
    name = transform.__name__
    if issubclass(transform, RESCALING):
        return f"{name} changes the range of the pixels, and SAM normalises the image itself; leave it out"
    if issubclass(transform, A.DualTransform):
        return f"{name} would move the image without its masks; use augmentation.min_scale, max_scale and flip_prob"
    if not issubclass(transform, (A.ImageOnlyTransform, *GROUPS)):
        return f"{name} is no albumentations.ImageOnlyTransform, and {REMEDY}"
    return None


def check_appearance(transforms: Sequence[Any], key: str = KEY) -> None:
    """Refuses albumentations transforms, and groups of them, that move the image without its masks or normalise it.

    Raises:
        ConfigError: naming the key, the transform and the reason.
    """
    for place, transform in enumerate(transforms):
        if problem := appearance_problem(type(transform)):
            raise ConfigError(f"{key}[{place}]: expected a transform that changes the appearance alone; got {problem}")
        if isinstance(transform, GROUPS):
            check_appearance(list(transform.transforms), f"{key}[{place}].transforms")  # type: ignore[attr-defined]


def require_pixels(image: np.ndarray, image_size: int) -> None:
    """Raises a ConfigError for an image that transforms left no longer a uint8 one of the input frame."""
    if image.dtype != np.uint8 or image.shape != (image_size, image_size, 3):
        raise ConfigError(
            f"{KEY}: expected transforms that leave a ({image_size}, {image_size}, 3) uint8 image as it is in type and "
            f"size; got {image.shape} of {image.dtype}; {REMEDY}"
        )
