"""Checks of what people give a predictor, and its prompts as one group."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hqsam_lightning.errors import PromptError
from hqsam_lightning.types import PromptGroup


def require_image(image: Any) -> np.ndarray:
    """Makes sure that an image is one.

    Raises:
        PromptError: it is not an (H0, W0, 3) uint8 array.
    """
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise PromptError(
            f"image: expected a uint8 array (H, W, 3); got {found}; read files with "
            "numpy.asarray(PIL.Image.open(FILE).convert('RGB'))"
        )
    if 0 in image.shape:
        raise PromptError(f"image: expected at least one pixel; got the shape {image.shape}")
    return image


def to_tensor(value: Any, device: torch.device, dtype: torch.dtype, batch: bool = False) -> Tensor | None:
    """An array on a device, with a leading axis of one prompt where `batch`; None stays None."""
    if value is None:
        return None
    tensor = torch.as_tensor(np.asarray(value)).to(device=device, dtype=dtype)
    return tensor[None] if batch else tensor


def one_group(
    point_coords: Tensor | None,
    point_labels: Tensor | None,
    boxes: Tensor | None,
    mask_input: Tensor | None,
    mask_input_size: int,
) -> PromptGroup:
    """Prompts of N masks of one image as a group.

    Args:
        point_coords: (N, K, 2) or None.
        point_labels: (N, K) or None.
        boxes: (N, 4) or None.
        mask_input: (N, 1, 4h, 4w) or None.
        mask_input_size: 4h = 4w of the SAM.

    Raises:
        PromptError: there is none, their numbers differ, or one has a wrong shape or is not finite.
    """
    if (point_coords is None) != (point_labels is None):
        missing = "point_labels" if point_labels is None else "point_coords"
        raise PromptError(f"{missing}: expected one for each point; got None; a label is 1 on the object and 0 off it")
    side = mask_input_size
    expected: dict[str, tuple[Tensor | None, tuple[int | None, ...]]] = {
        "point_coords": (point_coords, (None, None, 2)),
        "point_labels": (point_labels, (None, None)),
        "boxes": (boxes, (None, 4)),
        "mask_input": (mask_input, (None, 1, side, side)),
    }
    given = {name: value for name, (value, _) in expected.items() if value is not None}
    for name, value in given.items():
        _require_shape(name, value, expected[name][1])
    counts = {name: len(value) for name, value in given.items()}
    if len(set(counts.values())) != 1 or not next(iter(counts.values())):
        raise PromptError(
            f"prompts: expected points, boxes or masks, as many of each; got {counts or 'none'}; "
            "one object is one row of each"
        )
    if point_coords is not None and point_labels is not None and point_coords.shape[:2] != point_labels.shape:
        raise PromptError(
            f"point_labels: expected one for each point, {tuple(point_coords.shape[:2])}; "
            f"got {tuple(point_labels.shape)}"
        )
    first = next(iter(given.values()))
    rows = torch.arange(len(first), device=first.device)
    return PromptGroup(rows, boxes=boxes, point_coords=point_coords, point_labels=point_labels, masks=mask_input)


def _require_shape(name: str, value: Tensor, shape: tuple[int | None, ...]) -> None:
    fits = value.ndim == len(shape) and all(want in (None, have) for have, want in zip(value.shape, shape, strict=True))
    if not fits:
        wanted = ", ".join("N" if want is None else str(want) for want in shape)
        raise PromptError(f"{name}: expected the shape ({wanted}); got {tuple(value.shape)}")
    if not torch.isfinite(value).all():
        raise PromptError(f"{name}: expected finite numbers; got NaN or infinity")
