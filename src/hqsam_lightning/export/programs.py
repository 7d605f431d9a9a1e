"""The two graphs by `torch.export`: traced, and saved as ``.pt2``."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from hqsam_lightning.export.base import Format
from hqsam_lightning.export.graphs import (
    DECODER_INPUTS,
    ENCODER_INPUTS,
    DecoderGraph,
    EncoderGraph,
    refusal_of_graphs,
    run_graphs,
)
from hqsam_lightning.export.samples import Sample
from hqsam_lightning.inference.model import HQSam
from hqsam_lightning.storage.files import replacing

IMAGES, PROMPTS, POINTS = 2, 3, 4
"""Lengths that the graphs are traced with, no two alike; each may be any in use."""
ENCODER, DECODER = "encoder.pt2", "decoder.pt2"


@torch.no_grad()
def trace(model: HQSam, multimask_output: bool) -> tuple[ExportedProgram, ExportedProgram]:
    """Traces the encoder and the decoder.

    Args:
        model: on the CPU.
        multimask_output: see `DecoderGraph`.
    """
    encoder, decoder = EncoderGraph(model).eval(), DecoderGraph(model, multimask_output).eval()
    size, side = model.image_size, model.sam.mask_input_size
    images = torch.zeros(IMAGES, 3, size, size)
    prompts = (
        torch.zeros(PROMPTS, dtype=torch.int64),
        torch.zeros(PROMPTS, POINTS, 2),
        torch.zeros(PROMPTS, POINTS, dtype=torch.int64),
        torch.zeros(PROMPTS, 1, side, side),
        torch.zeros(PROMPTS),
    )
    grid = (side // 4, side // 4)
    features = torch.zeros(IMAGES, model.sam.embed_dim, *grid), torch.zeros(IMAGES, model.sam.early_dim, *grid)
    axes = {name: Dim(name, min=1) for name in ("images", "prompts", "points")}
    free = [
        tuple({place: axes[name] for place, name in each.items()} for each in inputs.values())
        for inputs in (ENCODER_INPUTS, DECODER_INPUTS)
    ]
    return (
        torch.export.export(encoder, (images,), dynamic_shapes=free[0]),
        torch.export.export(decoder, (*features, *prompts), dynamic_shapes=free[1]),
    )


class Programs(Format):
    """A folder with ``encoder.pt2`` and ``decoder.pt2``.

    This package loads none but those that it has just written: loading one may run code.
    """

    name = "pt2"

    def refusal(self, model: HQSam) -> str | None:
        """Features are the decoder's input."""
        return refusal_of_graphs(model)

    def write(self, model: HQSam, out: Path, multimask_output: bool) -> None:
        """Traces and saves."""
        for name, program in zip((ENCODER, DECODER), trace(model, multimask_output), strict=True):
            with replacing(out / name) as file:
                torch.export.save(program, file)

    def read(self, out: Path, model: HQSam, multimask_output: bool, sample: Sample) -> list[Tensor]:
        """The saved programs' masks."""
        encoder, decoder = (torch.export.load(out / name).module() for name in (ENCODER, DECODER))
        return run_graphs(encoder, decoder, sample, model.sam.mask_input_size)
