"""Groups prompts so that one call of SAM's prompt encoder takes each group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch

from hqsam_lightning.types import Prompt, PromptGroup

FIELDS = ("box", "point_coords", "point_labels", "mask")


def group_prompts(prompts: Sequence[Prompt]) -> list[PromptGroup]:
    """Groups N prompts by their combination of kinds and number of points.

    Returns:
        Groups in the order of their first row; their rows together are 0 .. N-1.
    """
    members: dict[tuple[tuple[int, ...] | None, ...], list[int]] = defaultdict(list)
    values = [[getattr(prompt, field) for field in FIELDS] for prompt in prompts]
    for row, of_row in enumerate(values):
        members[tuple(None if value is None else tuple(value.shape) for value in of_row)].append(row)
    groups = []
    for rows in members.values():
        columns = zip(*(values[row] for row in rows), strict=True)
        stacked = (None if column[0] is None else torch.stack(column) for column in columns)
        groups.append(PromptGroup(torch.tensor(rows), *stacked))
    return groups
