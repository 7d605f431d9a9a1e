"""The comparisons: each gives rows of a table, measured side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from omegaconf import DictConfig

from benchmarks.arithmetic import matrix_peak, vit_multiply_adds
from benchmarks.authors import AuthorsStep
from benchmarks.processes import take_turns_apart
from benchmarks.transformers_peers import TransformersEncoder, TransformersSamHQ
from benchmarks.workload import build_sam, build_workload, device, from_cache
from hqsam_lightning.runtime.memory import keep_freed_memory
from hqsam_lightning.runtime.timing import Contestant, Timing, take_turns

GIB = 2**30
TABLE_3 = "ablate_features"


@dataclass
class Row:
    """One contestant of a comparison.

    Attributes:
        case: name of the comparison.
        name: of the contestant.
        seconds: median of the rounds.
        spread: slowest minus fastest round, as a share of the median.
        reference: contestant that `speedup` is over.
        speedup: the reference's median over this one's.
        memory: peak memory in GiB of a process of its own, where it was measured.
        note: further observations.
    """

    case: str
    name: str
    seconds: float
    spread: float
    reference: str
    speedup: float
    memory: float | None = None
    note: str = ""


Case = Callable[[DictConfig], list[Row]]


def encoder(config: DictConfig) -> list[Row]:
    """The frozen encoder on one image: our attention and `transformers`', in two precisions."""
    contestants: dict[str, Contestant] = {}
    for precision, attention in product(("fp32", "bf16"), ("fused", "eager")):
        sam = build_sam(config, precision, attention)
        image = torch.randint(0, 256, (1, 3, sam.image_size, sam.image_size), dtype=torch.uint8, device=device())
        contestants[f"ours, {attention}, {precision}"] = partial(sam.encode, image)
    pixels = torch.randn(1, 3, sam.image_size, sam.image_size, device=device())
    for dtype, precision in ((torch.float32, "fp32"), (torch.bfloat16, "bf16")):
        for attention in ("sdpa", "eager"):
            peer = TransformersEncoder(sam, attention, dtype)
            contestants[f"transformers, {attention}, {precision}"] = partial(peer, pixels)
    timings = take_turns(contestants, config.rounds)
    work = vit_multiply_adds(sam.sam.image_encoder)
    peaks = {"fp32": matrix_peak(torch.float32, device()), "bf16": matrix_peak(torch.bfloat16, device())}
    rows = []
    for name, timing in timings.items():
        precision = name.rsplit(" ", 1)[1]
        share = work / timing.median / peaks[precision]
        note = f"{share:.0%} of the matrix peak of {peaks[precision] / 1e9:.0f} G multiply-adds/s"
        rows.append(make_row("encoder", timings, name, f"transformers, sdpa, {precision}", note=note))
    return rows


def inference(config: DictConfig) -> list[Row]:
    """From a batch of images with a box each to HQ mask logits: ours, and `transformers`' SamHQModel."""
    workload = build_workload(config, build_sam(config))
    batch, module = workload.batch, workload.module.eval()
    boxes = batch.prompts[0].boxes
    assert boxes is not None
    pixels = torch.randn(batch.pixels.shape, device=device())
    contestants: dict[str, Contestant] = {"ours": torch.no_grad()(partial(module, batch, module.trained))}
    for attention in ("sdpa", "eager"):
        peer = TransformersSamHQ(module.sam, attention)
        contestants[f"transformers, {attention}"] = partial(peer, pixels, boxes)
    timings = take_turns(contestants, config.rounds)
    return [make_row("inference", timings, name, "transformers, sdpa") for name in contestants]


def step(config: DictConfig) -> list[Row]:
    """A training step of one full HQ head: the authors' procedure, ours, with a bf16 encoder, and from a cache."""
    sam = build_sam(config)
    losses = [float(AuthorsStep(build_workload(config, sam))()), float(build_workload(config, sam).step())]
    del sam
    builders: dict[str, Callable[[], Contestant]] = {"authors": partial(authors_step, config)}
    for name, precision, cached in (
        ("ours", "fp32", False),
        ("ours, bf16 encoder", "bf16", False),
        ("ours, cached", "fp32", True),
    ):
        builders[name] = partial(our_step, config, precision=precision, cached=cached)
    timings, memory = take_turns_apart(builders, config.rounds)
    notes = {"ours": f"first losses {losses[1]:.6f}, authors' {losses[0]:.6f}"}
    return [make_row("step", timings, name, "authors", memory[name] / GIB, notes.get(name, "")) for name in builders]


def variants(config: DictConfig) -> list[Row]:
    """A step of several heads over one encoder call: full ones, backward together and in turn, and those of table 3."""
    builders = {"1 variant": partial(our_step, config)}
    for count in config.variants:
        builders[f"{count} variants"] = partial(our_step, config, count)
        builders[f"{count} variants, in turn"] = partial(our_step, config, count, sequential_backward=True)
    builders["the variants of table 3"] = partial(our_step, config, TABLE_3)
    timings, memory = take_turns_apart(builders, config.rounds)
    return [make_row("variants", timings, name, "1 variant", memory[name] / GIB) for name in builders]


def masks(config: DictConfig) -> list[Row]:
    """A step with several masks per image."""
    builders = {_count_masks(count): partial(our_step, config, masks=count) for count in (1, *config.masks)}
    timings, memory = take_turns_apart(builders, config.rounds)
    return [make_row("masks", timings, name, _count_masks(1), memory[name] / GIB) for name in builders]


def _count_masks(count: int) -> str:
    return f"{count} mask{'s' if count > 1 else ''} an image"


def authors_step(config: DictConfig) -> Contestant:
    """A training step of the authors' procedure."""
    return AuthorsStep(build_workload(config, build_sam(config)))


def our_step(
    config: DictConfig,
    variants: int | str = 1,
    masks: int = 1,
    precision: str = "fp32",
    cached: bool = False,
    sequential_backward: bool = False,
) -> Contestant:
    """A training step in a process that is set up as `train` does."""
    if device().type == "cpu":
        keep_freed_memory()
    workload = build_workload(config, build_sam(config, precision), variants, masks, sequential_backward)
    return (from_cache(workload) if cached else workload).step


def make_row(
    case: str, timings: Mapping[str, Timing], name: str, reference: str, memory: float | None = None, note: str = ""
) -> Row:
    """Puts a contestant's times beside its reference's."""
    timing = timings[name]
    speedup = timings[reference].median / timing.median
    return Row(case, name, timing.median, timing.spread, reference, speedup, memory, note)
