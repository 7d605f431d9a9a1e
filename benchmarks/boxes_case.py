"""What many boxes in one image, and many heads, cost an evaluation."""

from __future__ import annotations

from functools import partial

import torch
from omegaconf import DictConfig

from benchmarks.cases import GIB, Row, make_row
from benchmarks.processes import take_turns_apart
from benchmarks.workload import build_sam, device
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.heads import HQHead, SamHead
from hqsam_lightning.runtime.timing import Contestant
from hqsam_lightning.types import PromptGroup

MASKS_AT_ONCE = 64
"""The default of conf/evaluate.yaml."""


def boxes(config: DictConfig) -> list[Row]:
    """Encodes one image once, and decodes 1 or 300 boxes by plain SAM and 1 or 4 HQ heads; a process for each."""
    counts = {"1 box": (1, 1), "300 boxes": (300, 1), "1 box, 4 heads": (1, 4), "300 boxes, 4 heads": (300, 4)}
    builders = {name: partial(_contestant, config, *of) for name, of in counts.items()}
    timings, memory = take_turns_apart(builders, config.rounds)
    return [make_row("boxes", timings, name, "1 box", memory[name] / GIB) for name in builders]


def _contestant(config: DictConfig, count: int, heads: int) -> Contestant:
    sam = build_sam(config)
    trained = {str(number): HQHead(sam, seed=number).to(device()).eval() for number in range(heads)}
    model = Model(sam, {"sam": SamHead(), **trained}, MASKS_AT_ONCE)
    side = sam.image_size
    image = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8, device=device())
    corners = torch.rand(count, 2, 2, device=device()).sort(dim=1).values * (side - 1)
    rows = torch.arange(count, device=device())
    group = PromptGroup(rows, boxes=corners.flatten(1))

    def run() -> None:
        for _ in model.encode_whole(image).predictions([group], torch.zeros_like(rows)):
            pass

    return run
