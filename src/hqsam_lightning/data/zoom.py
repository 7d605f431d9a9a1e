"""Prompts of a photo in the frame of the cut that each is shown: boxes, and what there is beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hqsam_lightning.cuts import Cut, PhotoToCut
from hqsam_lightning.data.framing import Frame
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.prompts import Prompter, PromptMix
from hqsam_lightning.types import Prompt


def require_boxes(prompts: Mapping[str, Prompter]) -> None:
    """Makes sure that no `PromptMix` draws a prompt without a box; those of other kinds say so when they are drawn.

    Raises:
        ConfigError: one does.
    """
    for name, kind in prompts.items():
        if isinstance(kind, PromptMix) and kind.boxless:
            raise _no_box(f"val_prompts.{name}, which draws {', '.join(kind.boxless)}")


def cut_photo(
    image: np.ndarray, prompts: Mapping[str, Sequence[Prompt]], frame: Frame
) -> tuple[PhotoToCut, dict[str, list[Prompt]]]:
    """Cuts a photo for each of its prompts.

    Args:
        image: (H0, W0, 3) uint8.
        prompts: by name, in pixels of the photo, corners of boxes inclusive; masks are stretched over it.
        frame: with a margin.

    Returns:
        The photo, and the prompts in pixels of the frame of their cuts.

    Raises:
        ConfigError: a prompt has no box.
    """
    cuts: dict[str, list[Cut]] = {}
    shown: dict[str, list[Prompt]] = {}
    for name, of_masks in prompts.items():
        for prompt in of_masks:
            if prompt.box is None:
                raise _no_box(f"some of {name}")
            cut, in_cut = _shown(prompt, prompt.box, image.shape[:2], frame)
            cuts.setdefault(name, []).append(cut)
            shown.setdefault(name, []).append(in_cut)
    return PhotoToCut(image, cuts, frame.fit), shown


def _no_box(which: str) -> ConfigError:
    return ConfigError(
        f"frame: expected photo where prompts have no box, as {which}; nothing says where to cut; set frame=photo, or "
        "prompt with boxes"
    )


def _shown(prompt: Prompt, box: Tensor, size: Sequence[int], frame: Frame) -> tuple[Cut, Prompt]:
    """A prompt's cut, which has its box and its points on the object; points off it outside of the cut are left out."""
    corners = box.reshape(2, 2)
    if prompt.point_coords is not None and prompt.point_labels is not None:
        corners = torch.cat([corners, prompt.point_coords[prompt.point_labels > 0]])
    cut = frame.cut(torch.cat([corners.amin(0), corners.amax(0)]).tolist(), size)
    assert cut is not None
    corner, scale = torch.tensor([cut.left, cut.top]), torch.tensor(frame.scale(cut.size), dtype=torch.float32)
    first = (box[:2] - corner) / scale
    # the edges of a box's first and last pixels, whose size differs between photo and frame
    last = torch.maximum((box[2:] + 1 - corner) / scale - 1, first)
    coords, labels = prompt.point_coords, prompt.point_labels
    if coords is not None and labels is not None:
        inside = ((coords >= corner) & (coords < corner + torch.tensor([cut.width, cut.height]))).all(1)
        coords, labels = (coords[inside] - corner + 0.5) / scale - 0.5, labels[inside]
        coords, labels = (coords, labels) if len(labels) else (None, None)
    mask = None if prompt.mask is None else _cut_mask(prompt.mask, cut, size, frame)
    return cut, Prompt(torch.cat([first, last]), coords, labels, mask)


def _cut_mask(mask: Tensor, cut: Cut, size: Sequence[int], frame: Frame) -> Tensor:
    """A (1, 4h, 4w) mask prompt that is stretched over a photo, in the frame of a cut: between pixels interpolated."""
    # centres of the frame's pixels; beyond the cut, where it is padded, its edge continues
    centres = (torch.arange(mask.shape[-1]) + 0.5) * (frame.image_size / mask.shape[-1])
    across, down = frame.scale(cut.size)
    xs = cut.left + (centres * across).clamp(max=cut.width)
    ys = cut.top + (centres * down).clamp(max=cut.height)
    shares = torch.meshgrid(xs / size[1], ys / size[0], indexing="xy")
    grid = torch.stack(shares, dim=-1)[None] * 2 - 1
    return F.grid_sample(mask[None].float(), grid, padding_mode="border", align_corners=False)[0]
