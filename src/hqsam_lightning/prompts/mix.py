"""Draws one prompt per mask, its kind by weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from hqsam_lightning.checks import arguments, integer, mapping_of, number, where
from hqsam_lightning.prompts.kinds import KINDS, Settings, box_prompt
from hqsam_lightning.types import Prompt


class Prompter(Protocol):
    """Draws prompts, such as a `PromptMix`."""

    def draw(self, mask: Tensor, mask_input_size: int, rng: np.random.Generator) -> Prompt:
        """Draws the prompt of one mask; see `PromptMix.draw`."""
        ...


class PromptMix:
    """One prompt per mask, of a kind in `KINDS` drawn by weight (paper, section 4.1: uniformly).

    Args:
        mix: weight of each kind; a kind left out has weight 0.
        num_points: points of a points prompt.
        box_noise: scale of the DN-DETR style noise on boxes, 0 for the tight box.

    Raises:
        ConfigError: for an unknown kind, a negative weight, weights that sum to 0, or numbers out of range.
    """

    @arguments(
        "prompts",
        mix=where(
            mapping_of(number(0, 1e6), tuple(KINDS)),
            f"a weight from 0 to 1e6 of some of {', '.join(KINDS)}, with a sum > 0",
            lambda mix: sum(mix.values()) > 0,
        ),
        num_points=integer(1),
        box_noise=number(0, 1),
    )
    def __init__(self, mix: Mapping[str, float], num_points: int = 10, box_noise: float = 0.0) -> None:
        self.weights = {kind: float(mix.get(kind, 0)) for kind in KINDS}
        self.num_points = num_points
        self.box_noise = box_noise

    @property
    def boxless(self) -> list[str]:
        """The kinds that may be drawn whose prompts have no box."""
        mask, settings = torch.ones(1, 16, 16), Settings(1, 0.0, 16)
        kinds = [kind for kind, weight in self.weights.items() if weight]
        shown = {kind: KINDS[kind](mask, settings, np.random.default_rng(0)) for kind in kinds}
        return [kind for kind, prompt in shown.items() if prompt is not None and prompt.box is None]

    def draw(self, mask: Tensor, mask_input_size: int, rng: np.random.Generator) -> Prompt:
        """Draws the prompt of one mask.

        A mask that has too few pixels for the drawn kind gets one of the other kinds instead (a box when they have no
        weight); other masks are not affected.

        Args:
            mask: (1, H, W) float32 in [0, 1] with at least one object pixel.
            mask_input_size: side of the prompt encoder's mask input.
            rng: generator of this mask alone.
        """
        settings = Settings(self.num_points, self.box_noise, mask_input_size)
        kind = _choose(self.weights, rng)
        prompt = KINDS[kind](mask, settings, rng)
        if prompt is None:
            prompt = KINDS[_choose({**self.weights, kind: 0.0}, rng)](mask, settings, rng)
        return prompt or box_prompt(mask, settings, rng)


def _choose(weights: Mapping[str, float], rng: np.random.Generator) -> str:
    total = sum(weights.values())
    if total == 0:
        return "box"
    return str(rng.choice(list(weights), p=[weight / total for weight in weights.values()]))
