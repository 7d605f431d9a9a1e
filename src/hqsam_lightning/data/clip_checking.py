"""Checks videos: clips in DAVIS's folders, or those of a JSON file in YouTube-VIS's format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from hqsam_lightning.data.checking import Checked
from hqsam_lightning.data.clips import Clip, find_clips
from hqsam_lightning.data.mask_values import MaskValues
from hqsam_lightning.data.problems import attempt_all
from hqsam_lightning.data.reading import read_header
from hqsam_lightning.data.video_json import read_videos
from hqsam_lightning.errors import DataError

# a decoded frame costs a core and its pixels' memory
_THREADS = 4


def check_clips(images: Path, annotations: Path, names: Path | None, check: str) -> Checked:
    """Checks the clips of a set, frame by frame.

    Args:
        images: folder with a folder of photos for each clip.
        annotations: folder with a folder of masks for each clip, or a JSON file.
        names: text file with the clips of a folder of masks to check; None for all.
        check: ``"quick"`` reads the photos' headers, ``"full"`` decodes every photo and mask.
    """
    result = Checked(annotations.name)
    try:
        clips, problems = _find(images, annotations, names)
    except DataError as error:
        result.problems.append(str(error))
        return result
    frames = [(clip, number) for clip in clips for number in range(len(clip.photos))]
    result.photos, result.masks = len(frames), sum(len(clip.objects) for clip in clips)

    def inspect(frame: tuple[Clip, int]) -> None:
        clip, number = frame
        if check == "full":
            clip.read(number)
        else:
            read_header(clip.photos[number])

    inspected = attempt_all(inspect, frames, min(_THREADS, os.cpu_count() or 1))
    for (clip, number), found in zip(frames, inspected, strict=True):
        if found is not None:
            result.findings.append(("frame", str(clip.photos[number]), found))
    result.problems += chain(problems, (text for _, _, text in result.findings))
    return result


def _find(images: Path, annotations: Path, names: Path | None) -> tuple[Sequence[Clip], list[str]]:
    if annotations.is_dir():
        return find_clips(images, annotations, MaskValues("ids"), names)
    content, problems = read_videos(annotations, images)
    return [clip for clip in content.clips.values() if clip is not None], problems
