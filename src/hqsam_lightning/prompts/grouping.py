"""Groups prompts so that one call of SAM's prompt encoder takes each group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from hqsam_lightning.types import Prompt, PromptGroup

FIELDS = ("box", "point_coords", "point_labels", "mask")


def group_prompts(prompts: Sequence[Prompt]) -> list[PromptGroup]:
    """Groups N prompts by their combination of kinds and number of points.

    Returns:
        Groups in the order of their first row; their rows together are 0 .. N-1.
    """
    members: dict[tuple[tuple[int, ...] | None, ...], list[int]] = defaultdict(list)
    for row, prompt in enumerate(prompts):
        members[tuple(None if value is None else tuple(value.shape) for value in _values(prompt))].append(row)
    return [_stack(rows, [prompts[row] for row in rows]) for rows in members.values()]


def _values(prompt: Prompt) -> list[Tensor | None]:
    return [getattr(prompt, field) for field in FIELDS]


def _stack(rows: list[int], prompts: list[Prompt]) -> PromptGroup:
    columns = zip(*(_values(prompt) for prompt in prompts), strict=True)
    boxes, coords, labels, masks = (None if column[0] is None else torch.stack(column) for column in columns)
    return PromptGroup(torch.tensor(rows), boxes, coords, labels, masks)
