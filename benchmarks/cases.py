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
from hqsam_lightning.sam.base import PRECISIONS

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
        memory: peak memory in GiB, where it was measured: of a process of its own, or of `gpu_memory`.
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
    """The frozen encoder on images: our attention, segment-anything's (eager) and `transformers`'."""
    return [row for count in config.images for row in _encoder(config, count)]


def _encoder(config: DictConfig, count: int) -> list[Row]:
    contestants: dict[str, Contestant] = {}
    ways = ("fused", "eager", *(["compiled"] if config.compiled else []))
    for precision, way in product(config.precisions, ways):
        sam = build_sam(config, precision, "eager" if way == "eager" else "fused")
        if way == "compiled":
            for block in sam.sam.image_encoder.blocks:
                block.compile()
        image = torch.randint(0, 256, (count, 3, sam.image_size, sam.image_size), dtype=torch.uint8, device=device())
        contestants[f"ours, {way}, {precision}"] = partial(sam.encode, image)
    pixels = torch.randn(count, 3, sam.image_size, sam.image_size, device=device())
    for precision, attention in product(config.precisions, ("sdpa", "eager")):
        peer = TransformersEncoder(sam, attention, PRECISIONS[precision])
        contestants[f"transformers, {attention}, {precision}"] = partial(peer, pixels)
    timings = take_turns(contestants, config.rounds)
    work = count * vit_multiply_adds(sam.sam.image_encoder)
    peaks = {precision: matrix_peak(PRECISIONS[precision], device()) for precision in config.precisions}
    rows = []
    for name, timing in timings.items():
        precision = name.rsplit(" ", 1)[1]
        share = work / timing.median / peaks[precision]
        note = f"{count / timing.median:.3g} images/s, {share:.0%} of {peaks[precision] / 1e9:.0f} G multiply-adds/s"
        memory = gpu_memory(contestants[name]) if device().type == "cuda" else None
        case = f"encoder, batch of {count}"
        rows.append(make_row(case, timings, name, f"transformers, sdpa, {precision}", memory, note))
    return rows


def gpu_memory(contestant: Contestant) -> float:
    """GiB that one run needs of a GPU's memory beside what is there already, such as weights."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    contestant()
    return (torch.cuda.max_memory_allocated() - before) / GIB


def inference(config: DictConfig) -> list[Row]:
    """From a batch of images with a box each to HQ mask logits: ours, and `transformers`' SamHQModel."""
    workload = build_workload(config, build_sam(config, config.precision))
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
    of = partial(our_step, config, precision=config.precision)
    builders = {"1 variant": of}
    for count in config.variants:
        builders[f"{count} variants"] = partial(of, count)
        builders[f"{count} variants, in turn"] = partial(of, count, sequential_backward=True)
    builders["the variants of table 3"] = partial(of, TABLE_3)
    timings, memory = take_turns_apart(builders, config.rounds)
    return [make_row("variants", timings, name, "1 variant", memory[name] / GIB) for name in builders]


def masks(config: DictConfig) -> list[Row]:
    """A step with several masks per image."""
    of = partial(our_step, config, precision=config.precision)
    builders = {_count_masks(count): partial(of, masks=count) for count in (1, *config.masks)}
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
