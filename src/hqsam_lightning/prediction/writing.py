"""Writes what was found in a photo: masks, cut-outs and overlays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np

from hqsam_lightning.data.overlay import DIMMED, OPACITY
from hqsam_lightning.data.segmentations import encode
from hqsam_lightning.inference.objects import Segment
from hqsam_lightning.prediction.loading import Loaded
from hqsam_lightning.prediction.outlines import bounding_box, polygons
from hqsam_lightning.prediction.photos import Photo, numbered
from hqsam_lightning.schema.rules import WRITTEN
from hqsam_lightning.storage.files import write_whole

MASKS, RLE, POLYGONS, CUTOUTS, OVERLAYS = WRITTEN
NEEDS_IMAGE = (CUTOUTS, OVERLAYS)
COLOURS = matplotlib.color_sequences["tab10"]
ENCODING = {".jpg": (cv2.IMWRITE_JPEG_QUALITY, 92), ".png": (cv2.IMWRITE_PNG_COMPRESSION, 1)}
SCORE_DIGITS = 4
Record = dict[str, Any]


class PhotoWriter:
    """Writes the files of one photo after another.

    Args:
        folder: of all that is written.
        kinds: some of `hqsam_lightning.schema.rules.WRITTEN`.
    """

    def __init__(self, folder: Path, kinds: Sequence[str]) -> None:
        self.folder = folder
        self.kinds = frozenset(kinds)

    def write(self, photo: Photo, loaded: Loaded, segments: Iterable[Segment], numbers_all: bool) -> list[Record]:
        """Writes the files of a photo.

        Args:
            photo: to write.
            loaded: its size, and its pixels where cut-outs or overlays are written.
            segments: of its objects.
            numbers_all: whether a single object is numbered too.

        Returns:
            What COCO annotations have, of each object.

        Raises:
            StorageError: a file cannot be written.
        """
        count = None if numbers_all else len(loaded.prompts) + len(loaded.objects)
        canvas = None if loaded.image is None else (DIMMED * loaded.image).astype(np.uint8)
        records = []
        for number, segment in enumerate(segments):
            stem = numbered(photo.stem, number, count)
            mask = segment.whole(loaded.size)
            if MASKS in self.kinds:
                self._save(f"{MASKS}/{stem}.png", mask.astype(np.uint8) * 255)
            if CUTOUTS in self.kinds and loaded.image is not None:
                bgra = np.dstack([loaded.image[..., ::-1], segment.alpha(loaded.size)])
                self._save(f"{CUTOUTS}/{stem}.png", bgra)
            if canvas is not None and loaded.image is not None:
                colour = 255 * np.array(COLOURS[number % len(COLOURS)], np.float32)
                canvas[mask] = (1 - OPACITY) * loaded.image[mask] + OPACITY * colour
            records.append(self._record(mask, segment.score))
        if OVERLAYS in self.kinds and canvas is not None:
            self._save(f"{OVERLAYS}/{photo.stem}.jpg", canvas[..., ::-1])
        return records

    def _record(self, mask: np.ndarray, score: float) -> Record:
        record: Record = {"bbox": bounding_box(mask), "area": int(mask.sum()), "score": round(score, SCORE_DIGITS)}
        if RLE in self.kinds:
            record[RLE] = encode(mask)
        if POLYGONS in self.kinds:
            record[POLYGONS] = polygons(mask)
        return record

    def _save(self, name: str, pixels: np.ndarray) -> None:
        path = self.folder / name
        _, encoded = cv2.imencode(path.suffix, pixels, ENCODING[path.suffix])
        write_whole(path, encoded.tobytes())
