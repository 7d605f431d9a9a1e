"""YouTube-VIS and HQ-YTVIS: average precision of tubes, by their masks and by their boundaries."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from hqsam_lightning.checks import arguments, integer, number, path
from hqsam_lightning.data.clips import Clip
from hqsam_lightning.data.tracks import AnnotatedClip, Track
from hqsam_lightning.data.video_json import VideoContent, read_tracks, read_videos
from hqsam_lightning.errors import DataError
from hqsam_lightning.evaluation.clip_boxes import GIVEN, GROUND_TRUTH, PROPAGATED, ClipBoxes, box_around, boxes_from
from hqsam_lightning.evaluation.clip_prediction import ClipSegmenter
from hqsam_lightning.evaluation.clip_tubes import PredictedTubes, clip_tubes
from hqsam_lightning.evaluation.suites.base import Record, Setting
from hqsam_lightning.evaluation.suites.clips import ClipSuite
from hqsam_lightning.evaluation.table import WHOLE_SET, Row, make_table
from hqsam_lightning.evaluation.tube_ap import tube_average_precision
from hqsam_lightning.metrics import Quantity
from hqsam_lightning.metrics.functional import DILATION
from hqsam_lightning.metrics.tubes import frame_overlap
from hqsam_lightning.storage.files import write_whole

PARTS = ("", "50", "75", "_S", "_M", "_L")
NAMES = (*(f"AP{part}" for part in PARTS), "AR1", "AR10", "AR100", *(f"AP_B{part}" for part in PARTS))
"""Of the metrics: tube mask AP and AR, and tube boundary AP."""


class VideoInstanceSuite(ClipSuite):
    """The objects of videos, prompted by the boxes of tracks; scores are of the whole set.

    Args:
        images: folder of the frames.
        annotations: JSON file in YouTube-VIS's format.
        boxes: results JSON in YouTube-VIS's format, whose tracks give boxes, categories and scores; or ground_truth or
            propagated, with a track of each object and all scores 1.
        box_growth: see `PropagatedBoxes`.
        dilation_ratio: width of the boundaries, see `mask_boundary`.
        name: of the set, in tables.
        frames_at_once: frames per forward pass.
        strict: whether a video, object or track that cannot be used is an error.
    """

    @arguments(
        "suite",
        images=path(),
        annotations=path(),
        boxes=path(),
        box_growth=number(0, 10),
        dilation_ratio=DILATION,
        frames_at_once=integer(1),
    )
    def __init__(
        self,
        images: str,
        annotations: str,
        boxes: str,
        box_growth: float,
        dilation_ratio: float,
        name: str,
        frames_at_once: int,
        strict: bool,
    ) -> None:
        files = [Path(annotations)]
        content, problems = read_videos(files[0], Path(images))
        problems = [f"{files[0].name}, {problem}" for problem in problems]
        self.ids = {clip.name: key for key, clip in content.clips.items() if clip is not None}
        self.tracks = {clip.name: clip.tracks for clip in content.clips.values() if clip is not None}
        if boxes not in (GROUND_TRUTH, PROPAGATED):
            files.append(Path(boxes))
            self.tracks, more = _given(files[1], content)
            problems += more
        clips = [clip for clip in content.clips.values() if clip is not None]
        kind = boxes if len(files) == 1 else GIVEN
        super().__init__(name, kind, clips, problems, files, frames_at_once, False, strict)
        if all(track.crowd for clip in clips for track in clip.tracks):
            raise DataError(f"{annotations}: expected at least one object that is no crowd; got none that can be used")
        self.growth, self.ratio = box_growth, dilation_ratio

    def facts(self) -> dict[str, Any]:
        """Those of the clips, and how boxes grow and boundaries are measured."""
        return {**super().facts(), "box_growth": self.growth, "dilation_ratio": self.ratio}

    def boxes_of(self, clip: Clip) -> ClipBoxes:
        """See `boxes` of the class."""
        tracks, size = self.tracks[clip.name], self._annotated(clip.name).size
        return boxes_from(
            self.boxes,
            self.growth,
            lambda frame: [
                track.boxes[frame] if track.boxes else box_around(track.mask(frame, size)) for track in tracks
            ],
        )

    def score_clip(self, clip: Clip, segmenter: ClipSegmenter) -> Iterator[Record]:
        """Keeps the tubes of each (variant, output) and how they overlap with the true ones."""
        found: dict[Row, PredictedTubes] = {}
        for frame in segmenter(clip, self.boxes_of(clip)):
            for row, masks in frame.masks.items():
                found.setdefault(row, PredictedTubes()).add(masks, frame_overlap(masks, frame.targets, self.ratio))
        for (variant, output), tubes in found.items():
            yield {"variant": variant, "output": output, "clip": clip.name, **tubes.record(self.tracks[clip.name])}

    def metrics(self, setting: Setting) -> Mapping[str, Quantity]:
        """Tube AP and AR."""
        return {name: Quantity(name) for name in NAMES}

    def table(self, setting: Setting, records: Sequence[Record]) -> pd.DataFrame:
        """A line per method and metric, for the whole set."""
        prompts = self.boxes + setting.scorer.frame.suffix
        rows = dict.fromkeys((record["variant"], record["output"]) for record in records)
        lines = [
            (setting.scorer.run, *row, self.name, WHOLE_SET, 0, prompts, name, value, float("nan"), WHOLE_SET)
            for row in rows
            for name, value in self._values([each for each in records if (each["variant"], each["output"]) == row])
        ]
        return make_table(lines)

    def _values(self, records: Sequence[Record]) -> Iterator[tuple[str, float]]:
        """The metrics of one method."""
        for key, boundary in (("mask_iou", ""), ("boundary_iou", "_B")):
            of_clips = [clip_tubes(record, self._annotated(record["clip"]), key) for record in records]
            values = tube_average_precision(of_clips)
            for name, value in values.items():
                if not boundary or name.startswith("AP"):
                    yield name.replace("AP", f"AP{boundary}"), value

    def _annotated(self, name: str) -> AnnotatedClip:
        return cast(AnnotatedClip, self.clips[name])

    def write(self, folder: Path, setting: Setting, records: Sequence[Record]) -> None:
        """Writes a results JSON in YouTube-VIS's format for each method: VARIANT/OUTPUT.json."""
        results: dict[Row, list[dict[str, Any]]] = {}
        for record in records:
            of_row = results.setdefault((record["variant"], record["output"]), [])
            of_row += [{"video_id": self.ids[record["clip"]], **each} for each in record["tracks"]]
        for (variant, output), tracks in results.items():
            write_whole(folder / variant / f"{output}.json", json.dumps(tracks, allow_nan=False).encode())


def _given(path: Path, content: VideoContent) -> tuple[dict[str, tuple[Track, ...]], list[str]]:
    """The tracks of a results file by the name of their clip, and what is wrong with others."""
    found, problems = read_tracks(path, content)
    named = {clip.name: tuple(found[key]) for key, clip in content.clips.items() if clip is not None}
    return named, [f"{path.name}{problem}" for problem in problems]
