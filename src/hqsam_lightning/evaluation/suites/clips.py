"""What suites of video have in common: an example is a clip, whose frames are read when it is scored."""

from __future__ import annotations

import hashlib
import logging
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from hqsam_lightning.data.clips import Clip
from hqsam_lightning.data.framing import Frame
from hqsam_lightning.data.image_files import file_fingerprint
from hqsam_lightning.data.problems import listed, raise_problems
from hqsam_lightning.errors import DataError
from hqsam_lightning.evaluation.clip_boxes import ClipBoxes
from hqsam_lightning.evaluation.clip_prediction import ClipSegmenter
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.readable import UNREADABLE
from hqsam_lightning.evaluation.suites.base import Record, Setting, Suite
from hqsam_lightning.types import Batch, Example, Prompt

THREADS = 8
_log = logging.getLogger(__name__)


class ClipExamples(Dataset[Example]):
    """Clips by the first of their frames.

    Args:
        clips: in an order that never changes.
        frame: fits frames into the model's.
        dataset: name of the set.
    """

    def __init__(self, clips: Sequence[Clip], frame: Frame, dataset: str) -> None:
        self.clips, self.frame, self.dataset = clips, frame, dataset

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Example:
        """Reads the first frame; its one mask is all background, and its prompt all of the frame."""
        image, _ = self.clips[index].read(0)
        framed = self.frame.place(image, np.zeros((1, *image.shape[:2]), np.float32))
        side = float(self.frame.image_size - 1)
        return Example(
            image=torch.from_numpy(np.ascontiguousarray(framed.image.transpose(2, 0, 1))),
            masks=torch.from_numpy(framed.masks)[:, None],
            sample_id=self.clips[index].name,
            dataset=self.dataset,
            prompts={"": [Prompt(box=torch.tensor([0.0, 0.0, side, side]))]},
        )


class ClipSuite(Suite):
    """Scores clips by the masks of their tracks.

    Args:
        name: of the set, in tables.
        boxes: name of the prompts, in tables.
        clips: at least one.
        problems: what of the files is not used, and why.
        files: whose content the scores depend on, besides the frames.
        frames_at_once: frames per forward pass.
        disjoint: see `ClipSegmenter`.
        strict: whether what cannot be used is an error; otherwise it is left out.

    Raises:
        DataError: for problems where it is strict, or there is no clip.
    """

    one_by_one = True
    shows_boxes = True

    def __init__(
        self,
        name: str,
        boxes: str,
        clips: Sequence[Clip],
        problems: Sequence[str],
        files: Sequence[Path],
        frames_at_once: int,
        disjoint: bool,
        strict: bool,
    ) -> None:
        self.name, self.boxes, self.files = name, boxes, files
        self.clips = {clip.name: clip for clip in clips}
        self.problems = list(problems) if clips or problems else ["expected at least one clip, got none"]
        self.frames_at_once, self.disjoint, self.strict = frames_at_once, disjoint, strict
        if strict or not clips:
            raise_problems(f"suite {name}", self.problems, "correct the files, or take clips that can be used")
        for problem in self.problems:
            _log.warning("%s: left out: %s", name, problem)

    def examples(self, setting: Setting) -> Dataset[Example]:
        """The clips."""
        return ClipExamples(list(self.clips.values()), setting.scorer.frame, self.name)

    def facts(self) -> dict[str, Any]:
        """Number, names and content of the clips, and how their boxes are found."""
        content = hashlib.sha256("\x1f".join(self.clips).encode("utf-8", "surrogatepass"))
        paths = [photo for clip in self.clips.values() for photo in clip.photos] + list(self.files)
        with ThreadPoolExecutor(THREADS) as pool:
            for each in pool.map(file_fingerprint, paths):
                content.update(f"{each}\x1f".encode())
        return {"set": self.name, "boxes": self.boxes, "clips": len(self.clips), "content": content.hexdigest()}

    def left_out(self) -> Sequence[str]:
        """Clips and entries that are not used."""
        if not self.problems:
            return ()
        return (f"{len(self.problems)} clips or entries of {self.name}: {listed(self.problems)}",)

    def score(self, setting: Setting, batch: Batch, model: Model) -> list[list[Record]]:
        """Segments the clips; one that cannot be read is left out as a whole."""
        segmenter = ClipSegmenter(setting.scorer.frame, model, self.frames_at_once, self.disjoint)
        return [self._score(self.clips[name], segmenter) for name in dict.fromkeys(batch.sample_ids)]

    def _score(self, clip: Clip, segmenter: ClipSegmenter) -> list[Record]:
        try:
            return list(self.score_clip(clip, segmenter))
        except DataError as error:
            if self.strict:
                raise
            return [{UNREADABLE: f"clip {clip.name}: {error}"}]

    @abstractmethod
    def boxes_of(self, clip: Clip) -> ClipBoxes:
        """What prompts a clip's tracks."""

    @abstractmethod
    def score_clip(self, clip: Clip, segmenter: ClipSegmenter) -> Iterator[Record]:
        """Segments a clip and yields what is kept of it."""
