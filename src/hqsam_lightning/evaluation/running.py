"""The loop of an evaluation: the images that are not done yet, spread over processes, each encoded once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import pandas as pd
from lightning import Fabric

from hqsam_lightning.data.watched_loading import WatchedLoader
from hqsam_lightning.errors import DataError
from hqsam_lightning.evaluation.journal import Journal
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.readable import UNREADABLE, Readable, ReadBatch, collate_readable
from hqsam_lightning.evaluation.suites import Record, Setting, Suite
from hqsam_lightning.evaluation.table import make_table
from hqsam_lightning.runtime.processes import rounds, together, together_in_first
from hqsam_lightning.runtime.signals import stops_deferred

COST = "cost"
"""Key of the record that says what a batch took: photos, what was encoded, and seconds."""
PREDICTIONS = "predictions"
"""Folder, in that of the results, of what suites write beside the scores; it has a folder per protocol."""


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated on what.

    Attributes:
        suite: the images.
        settings: one pass each, by name of the protocol.
        model: predicts.
        strict: whether an image that cannot be read is an error; otherwise it is left out.
    """

    suite: Suite
    settings: Mapping[str, Setting]
    model: Model
    strict: bool


@dataclass(frozen=True)
class PassCost:
    """What a pass over the images took.

    Attributes:
        photos: number of photos, or of clips.
        encoded: images or cuts that were encoded.
        seconds: see `hqsam_lightning.evaluation.model.Cost`.
    """

    photos: int
    encoded: int
    seconds: float


@dataclass
class Found:
    """What an evaluation gives.

    Attributes:
        table: the scores.
        images: how many there are, with those that were left out.
        unreadable: why each image that was left out cannot be read.
        costs: what each pass took.
    """

    table: pd.DataFrame = field(default_factory=lambda: make_table([]))
    images: int = 0
    unreadable: list[str] = field(default_factory=list)
    costs: dict[str, PassCost] = field(default_factory=dict)


def run(
    evaluation: Evaluation, fabric: Fabric, journal: Journal, save_every: float, loading: Mapping[str, Any]
) -> Found:
    """Scores every image once over all processes, but those that the journal has.

    An image shares its forward pass with the same others however they are spread and wherever an evaluation was cut, so
    that the scores are the same to the last digit.

    Args:
        evaluation: to run.
        fabric: of the processes.
        journal: of what is scored.
        save_every: seconds of work that are lost at most when the evaluation is cut.
        loading: options of the loader, such as its ``batch_size``: images per forward pass and process.

    Returns:
        The scores; none in all processes but the first.

    Raises:
        HQSamError: a file cannot be read or written.
        Stopped: after a signal; what was scored is in the journal.
    """
    counts = {
        name: _run_setting(evaluation, name, fabric, journal, save_every, loading) for name in evaluation.settings
    }
    found: list[Found] = []
    together_in_first(fabric, lambda: found.append(_gather(evaluation, journal, counts)))
    return found[0] if found else Found()


def _gather(evaluation: Evaluation, journal: Journal, counts: Mapping[str, int]) -> Found:
    """The results of all passes, once what else the suite has is written."""
    tables: list[pd.DataFrame] = []
    costs: dict[str, PassCost] = {}
    unreadable = dict.fromkeys(evaluation.suite.unreadable())
    known = len(unreadable)
    for name, setting in evaluation.settings.items():
        images = journal.read(name)
        if missing := counts[name] - len(images):
            raise DataError(
                f"{journal.folder}: expected the records of {counts[name]} images; {missing} are not there; run again"
            )
        records = [record for of_image in images.values() for record in of_image]
        unreadable |= {record[UNREADABLE]: None for record in records if UNREADABLE in record}
        taken = [record[COST] for record in records if COST in record]
        photos, encoded, seconds = (sum(column) for column in zip(*taken, strict=True)) if taken else (0, 0, 0.0)
        costs[name] = PassCost(photos, encoded, seconds)
        records = [record for record in records if UNREADABLE not in record and COST not in record]
        tables.append(evaluation.suite.table(setting, records))
        evaluation.suite.write(journal.folder.parent / PREDICTIONS / name, setting, records)
    return Found(pd.concat(tables, ignore_index=True), max(counts.values()) + known, list(unreadable), costs)


def _run_setting(
    evaluation: Evaluation, name: str, fabric: Fabric, journal: Journal, save_every: float, loading: Mapping[str, Any]
) -> int:
    """Scores what the journal lacks of one pass.

    Returns:
        How many images the pass has.
    """
    setting = evaluation.settings[name]
    examples = Readable(evaluation.suite.examples(setting), evaluation.strict)
    count, options = len(examples), dict(loading)
    size = options.pop("batch_size")
    done = together(fabric, partial(journal.read, name)).keys()
    batches = _batches(count, 1 if evaluation.suite.one_by_one else size)
    missing = [batch for batch in batches if not done >= {*batch}]
    own = missing[fabric.global_rank :: fabric.world_size]
    loader = WatchedLoader(
        examples,
        name_of=lambda key: f"image {key[0]} of the suite",
        batch_sampler=own,
        collate_fn=collate_readable,
        **options,
    )
    saver = _Saver(journal, name, own, save_every)
    scored = (_score(evaluation, setting, read, fabric) for read in loader)
    with stops_deferred():
        try:
            for _ in rounds(fabric, len(missing), f"evaluating, {name}"):
                together(fabric, partial(saver.take, scored))
            # all have written before any reads
            together(fabric, saver.save)
        finally:
            saver.save()
    return count


def _batches(count: int, size: int) -> list[list[int]]:
    """Indices of the images that share a forward pass."""
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]


def _score(evaluation: Evaluation, setting: Setting, read: ReadBatch, fabric: Fabric) -> list[list[Record]]:
    """Records of each image of a batch."""
    found: list[list[Record]] = []
    if read.batch is not None:
        cost = evaluation.model.cost
        before = cost.encoded, cost.seconds
        found = evaluation.suite.score(setting, read.batch.to(fabric.device), evaluation.model)
        found[0].append({COST: [len(found), cost.encoded - before[0], cost.seconds - before[1]]})
    readable = iter(found)
    return [next(readable) if reason is None else [{UNREADABLE: reason}] for reason in read.reasons]


class _Saver:
    """Keeps records, and writes them from time to time."""

    def __init__(self, journal: Journal, setting: str, batches: list[list[int]], every: float) -> None:
        self.journal, self.setting, self.every = journal, setting, every
        self.batches = iter(batches)
        self.kept: dict[int, list[Record]] = {}
        self.saved = time.monotonic()

    def take(self, scored: Iterator[list[list[Record]]]) -> None:
        """Scores one batch; a process that has none left does nothing."""
        for images in islice(scored, 1):
            self.kept |= dict(zip(next(self.batches), images, strict=True))
        if time.monotonic() - self.saved >= self.every:
            self.save()

    def save(self) -> None:
        """Writes what is kept."""
        kept, self.kept, self.saved = self.kept, {}, time.monotonic()
        if kept:
            self.journal.add(self.setting, kept)
