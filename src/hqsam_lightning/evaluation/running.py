"""The loop of an evaluation: the images that are not done yet, spread over processes, each encoded once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import pandas as pd
import torch
from lightning import Fabric
from torch import Tensor

from hqsam_lightning.data.collate import collate
from hqsam_lightning.data.watched_loading import WatchedLoader
from hqsam_lightning.errors import DataError
from hqsam_lightning.evaluation.journal import Journal
from hqsam_lightning.evaluation.suites import Record, Setting, Suite
from hqsam_lightning.evaluation.table import Row, make_table
from hqsam_lightning.heads import Head
from hqsam_lightning.heads.base import predictions
from hqsam_lightning.runtime.processes import rounds, together, together_in_first
from hqsam_lightning.runtime.signals import stops_deferred
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.types import Batch


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated on what.

    Attributes:
        suite: the images.
        settings: one pass each, by name of the protocol.
        sam: the frozen model, on its device.
        heads: by name, plain SAM first, on the same device.
    """

    suite: Suite
    settings: Mapping[str, Setting]
    sam: FrozenSam
    heads: Mapping[str, Head]

    @torch.no_grad()
    def logits(self, batch: Batch) -> dict[Row, Tensor]:
        """(N, 1, 4h, 4w) logits of each (variant, output) that is scored."""
        found = predictions(self.sam, self.heads, batch)
        return {(name, output): of.select(output) for name, of in found for output in self.heads[name].outputs}


def run(
    evaluation: Evaluation, fabric: Fabric, journal: Journal, save_every: float, loading: Mapping[str, Any]
) -> pd.DataFrame:
    """Scores every image once over all processes, but those that the journal has.

    Args:
        evaluation: to run.
        fabric: of the processes.
        journal: of what is scored.
        save_every: seconds of work that are lost at most when the evaluation is cut.
        loading: options of the loader, such as its ``batch_size``: images per forward pass and process.

    Returns:
        The score table; empty in all processes but the first.

    Raises:
        HQSamError: a file cannot be read or written.
        Stopped: after a signal; what was scored is in the journal.
    """
    counts = {
        name: _run_setting(evaluation, name, fabric, journal, save_every, loading) for name in evaluation.settings
    }
    tables: list[pd.DataFrame] = []
    together_in_first(fabric, lambda: tables.extend(_tables(evaluation, journal, counts)))
    return pd.concat(tables, ignore_index=True) if tables else make_table([])


def _tables(evaluation: Evaluation, journal: Journal, counts: Mapping[str, int]) -> Iterator[pd.DataFrame]:
    for name, setting in evaluation.settings.items():
        images = journal.read(name)
        if missing := counts[name] - len(images):
            raise DataError(
                f"{journal.folder}: expected the records of {counts[name]} images; {missing} are not there; run again"
            )
        yield evaluation.suite.table(setting, [record for records in images.values() for record in records])


def _run_setting(
    evaluation: Evaluation, name: str, fabric: Fabric, journal: Journal, save_every: float, loading: Mapping[str, Any]
) -> int:
    """Scores what the journal lacks of one pass.

    Returns:
        How many images the pass has.
    """
    examples = evaluation.suite.examples(evaluation.settings[name])
    count = len(examples)  # type: ignore[arg-type]
    done = together(fabric, partial(journal.read, name)).keys()
    missing = [index for index in range(count) if index not in done]
    own = missing[fabric.global_rank :: fabric.world_size]
    loader = WatchedLoader(
        examples, name_of=lambda key: f"image {key[0]} of the suite", sampler=own, collate_fn=collate, **loading
    )
    saver = _Saver(journal, name, own, save_every)
    batches = _scored(evaluation, evaluation.settings[name], iter(loader), fabric)
    with stops_deferred():
        try:
            for _ in rounds(fabric, -(-len(missing) // loading["batch_size"]), f"evaluating, {name}"):
                together(fabric, partial(saver.take, batches))
            # all have written before any reads
            together(fabric, saver.save)
        finally:
            saver.save()
    return count


def _scored(
    evaluation: Evaluation, setting: Setting, batches: Iterator[Batch], fabric: Fabric
) -> Iterator[list[list[Record]]]:
    """Records of each image of one batch after another."""
    for batch in batches:
        moved = batch.to(fabric.device)
        yield evaluation.suite.score(setting, moved, evaluation.logits(moved))


class _Saver:
    """Keeps records, and writes them from time to time."""

    def __init__(self, journal: Journal, setting: str, order: list[int], every: float) -> None:
        self.journal, self.setting, self.every = journal, setting, every
        self.order = iter(order)
        self.kept: dict[int, list[Record]] = {}
        self.saved = time.monotonic()

    def take(self, batches: Iterator[list[list[Record]]]) -> None:
        """Scores one batch; a process that has none left does nothing."""
        for images in islice(batches, 1):
            self.kept |= dict(zip(islice(self.order, len(images)), images, strict=True))
        if time.monotonic() - self.saved >= self.every:
            self.save()

    def save(self) -> None:
        """Writes what is kept."""
        kept, self.kept, self.saved = self.kept, {}, time.monotonic()
        if kept:
            self.journal.add(self.setting, kept)
