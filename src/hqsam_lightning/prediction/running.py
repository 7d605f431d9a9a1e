"""The loop of a prediction: photos that are not done yet, a batch at a time, each written before it counts as done."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hqsam_lightning.data.image_files import file_fingerprint
from hqsam_lightning.data.watched_loading import WatchedLoader
from hqsam_lightning.errors import DataError
from hqsam_lightning.prediction.journal import Journal
from hqsam_lightning.prediction.loading import Loaded, PhotoLoading, together
from hqsam_lightning.prediction.prompts import OBJECT, PromptedPhotos
from hqsam_lightning.prediction.segmenting import Segmenting
from hqsam_lightning.prediction.writing import PhotoWriter
from hqsam_lightning.runtime.progress import track
from hqsam_lightning.runtime.signals import raise_if_stopped, stops_deferred

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a prediction ended with.

    Attributes:
        records: the journal's, by the photo's name.
        before: number of photos that an earlier run had done.
    """

    records: Mapping[str, Mapping[str, Any]]
    before: int

    @property
    def failed(self) -> list[str]:
        """Why each photo failed that did, behind its name."""
        return [f"{name}: {record['problem']}" for name, record in self.records.items() if "problem" in record]

    @property
    def objects(self) -> list[Mapping[str, Any]]:
        """All that was found."""
        return [each for record in self.records.values() for each in record.get("objects", ())]


class Prediction:
    """Predicts photos.

    Args:
        loading: reads the photos.
        segment: gives their segments.
        writer: writes them.
        journal: of what is done.
    """

    def __init__(self, loading: PhotoLoading, segment: Segmenting, writer: PhotoWriter, journal: Journal) -> None:
        self.loading, self.segment, self.writer, self.journal = loading, segment, writer, journal
        self.prompted: PromptedPhotos = loading.prompted
        self._contents = [self._content(place) for place in range(len(loading))]

    def run(self, batch_size: int, options: Mapping[str, Any]) -> Outcome:
        """Predicts every photo that is not done.

        Args:
            batch_size: photos per step.
            options: further ones of the loader.

        Raises:
            HQSamError: a result cannot be written, or a loading process ended.
            Stopped: after a signal; the photos that are done stay done.
        """
        known = self.journal.read()
        photos = self.prompted.photos
        missing = [place for place, photo in enumerate(photos) if not self._is_done(place, known.get(photo.name))]
        loader = WatchedLoader(
            self.loading,
            name_of=lambda key: photos[key[0]].name,
            sampler=missing,
            batch_size=batch_size,
            collate_fn=together,
            **options,
        )
        batches = iter(loader)
        with stops_deferred():
            for _ in track(range(-(-len(missing) // batch_size)), "predicting"):
                raise_if_stopped()
                self._predict(next(batches))
        records = self.journal.read()
        return Outcome({photo.name: records[photo.name] for photo in photos}, len(photos) - len(missing))

    def _predict(self, batch: Sequence[Loaded]) -> None:
        good = [loaded for loaded in batch if loaded.problem is None]
        records = [self._failure(loaded) for loaded in batch if loaded.problem is not None]
        if good:
            records += self._found(good)
        self.journal.add(records)

    def _found(self, photos: Sequence[Loaded]) -> Iterator[dict[str, Any]]:
        for loaded, segments in zip(photos, self.segment(photos), strict=True):
            photo = self.prompted.photos[loaded.index]
            objects = self.writer.write(photo, loaded, segments, numbers_all=self.prompted.wanted is None)
            wanted = None if self.prompted.wanted is None else self.prompted.wanted[photo.name]
            for place, each in enumerate(objects):
                is_listed = wanted is not None and place < len(wanted.categories)
                each["category_id"] = wanted.categories[place] if wanted is not None and is_listed else OBJECT
            yield self._record(loaded) | {"size": list(loaded.size), "objects": objects}

    def _failure(self, loaded: Loaded) -> dict[str, Any]:
        record = self._record(loaded)
        log.warning("%s: %s", record["photo"], loaded.problem)
        return record | {"problem": loaded.problem}

    def _record(self, loaded: Loaded) -> dict[str, Any]:
        return {"photo": self.prompted.photos[loaded.index].name, "content": self._contents[loaded.index]}

    def _is_done(self, place: int, record: Mapping[str, Any] | None) -> bool:
        """Whether a photo was predicted as it is now; one that failed is tried again."""
        return record is not None and "objects" in record and record["content"] == self._contents[place]

    def _content(self, place: int) -> str | None:
        """Changes with the photo's file and prompts; None where they cannot be read, which reading it will say."""
        photo = self.prompted.photos[place]
        try:
            shown = "" if self.prompted.wanted is None else self.prompted.wanted[photo.name].content()
            return f"{file_fingerprint(photo.path)} {shown}"
        except DataError:
            return None
