"""Heads that score a variant on its own training photos: each was trained without the part of them that it scores."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from hqsam_lightning.data.folds import Folds
from hqsam_lightning.evaluation.table import Row
from hqsam_lightning.heads import Head
from hqsam_lightning.types import Batch

SEPARATOR = "/"
"""Between a variant and the number of a part; no variant's name has it."""


class FoldHeads(nn.Module):
    """Copies of each variant that learns, one per part of the photos, each of which learns from the other parts.

    Args:
        variants: that learn, by name.
        folds: the parts.
    """

    def __init__(self, variants: Mapping[str, Head], folds: Folds) -> None:
        super().__init__()
        self.folds = folds
        self.copies = nn.ModuleDict(
            {name: nn.ModuleList(copy.deepcopy(head) for _ in range(folds.count)) for name, head in variants.items()}
        )

    @property
    def heads(self) -> dict[str, Head]:
        """All copies, called VARIANT/PART."""
        return {
            f"{name}{SEPARATOR}{number}": cast(Head, head)
            for name, copies in self.copies.items()
            for number, head in enumerate(cast(nn.ModuleList, copies))
        }

    def begin_as(self, variants: Mapping[str, Head]) -> None:
        """Gives the copies the weights that their variants begin with."""
        for name, head in self.heads.items():
            head.load_state_dict(variants[variant_of(name)].state_dict())

    def seen(self, name: str, batch: Batch) -> Tensor:
        """(N,) 1 for the batch's masks that a head may learn from, 0 for those of its own part; a variant sees all."""
        _, _, part = name.partition(SEPARATOR)
        parts = self._parts(batch)
        return torch.ones_like(parts, dtype=torch.float32) if not part else (parts != int(part)).float()

    def scoring(self, variants: Mapping[str, Head], batch: Batch) -> dict[str, Head]:
        """What scores the batch: the variants that do not learn, and the copies of the others that have not seen it."""
        fixed = {name: head for name, head in variants.items() if name not in self.copies}
        present = {str(part) for part in self._parts(batch).tolist()}
        return fixed | {name: head for name, head in self.heads.items() if name.partition(SEPARATOR)[2] in present}

    def merged(self, found: Mapping[Row, Tensor], batch: Batch) -> dict[Row, Tensor]:
        """One prediction per variant and output, of each mask that of the head which has not seen it.

        Args:
            found: (N, 1, 4h, 4w) logits by the heads of `scoring`.
            batch: that they predicted.
        """
        parts, merged = self._parts(batch), dict[Row, Tensor]()
        for (name, output), logits in found.items():
            variant, _, part = name.partition(SEPARATOR)
            if part and (variant, output) in merged:
                mine = (parts == int(part)).view(-1, 1, 1, 1)
                logits = torch.where(mine, logits, merged[variant, output])
            merged[variant, output] = logits
        return merged

    def _parts(self, batch: Batch) -> Tensor:
        """(N,) int64, the part of each mask's photo."""
        return torch.tensor([self.folds.of[name] for name in batch.sample_ids], device=batch.masks.device)


def variant_of(name: str) -> str:
    """The variant that a head belongs to, such as "hq" of "hq/3"."""
    return name.partition(SEPARATOR)[0]
