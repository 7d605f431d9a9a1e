"""Reads videos in YouTube-VIS's format: annotations, and results with the tracks of a detector.

What is wrong is collected over the whole file, a line each; entries that are wrong are left out.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from hqsam_lightning.data.coco_json import REMEDY, entry_size, read_annotations
from hqsam_lightning.data.names import find_photo, name_problem, tidy_name
from hqsam_lightning.data.problems import shown
from hqsam_lightning.data.tracks import AnnotatedClip, Track, found_track, true_track
from hqsam_lightning.errors import DataError
from hqsam_lightning.storage.files import read_json, require_regular_file

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class VideoContent:
    """What a file lists.

    Attributes:
        clips: by the video's id; None for one that is left out.
        categories: names by id.
    """

    clips: dict[int, AnnotatedClip | None]
    categories: dict[int, str]


def read_videos(path: Path, images: Path) -> tuple[VideoContent, list[str]]:
    """Reads annotations.

    Args:
        path: JSON file with lists of videos, annotations and categories.
        images: folder that the names of the frames' files are relative to.

    Returns:
        The content, and what is wrong with entries that are left out.

    Raises:
        DataError: it is no such file.
    """
    find = "set suite.annotations to the JSON file with the videos' annotations"
    content = read_annotations(path, ("videos", "annotations", "categories"), find)
    problems: list[str] = []
    categories = _by_id(content["categories"], "categories", lambda entry: str(entry.get("name", "")), problems)
    clips = _by_id(content["videos"], "videos", lambda entry: _video(entry, images), problems)
    listed = VideoContent(_named_once(clips, problems), {key: name or "" for key, name in categories.items()})
    tracks = _by_id(content["annotations"], "annotations", lambda entry: _tracked(entry, listed, true_track), problems)
    own: dict[int, dict[int, Track]] = {key: {} for key in clips}
    for key, tracked in tracks.items():
        if tracked is not None:
            own[tracked[0]][key] = tracked[1]
    found = {
        key: None if clip is None else replace(clip, objects=tuple(own[key]), tracks=tuple(own[key].values()))
        for key, clip in listed.clips.items()
    }
    return replace(listed, clips=found), problems


def read_tracks(path: Path, content: VideoContent) -> tuple[dict[int, list[Track]], list[str]]:
    """Reads results: a list of objects with video_id, category_id, score, and bboxes or segmentations of all frames.

    Args:
        path: of the JSON file.
        content: of the annotations.

    Returns:
        Tracks by the id of a video that is not left out, in the file's order; and what is wrong with other entries.

    Raises:
        DataError: it is no such file.
    """
    require_regular_file(path, DataError, "set suite.boxes to a results file, ground_truth or propagated")
    entries = read_json(path, DataError, REMEDY, not_finite=True)
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path}: expected a list of tracks, got {shown(entries)}; {REMEDY}")
    problems: list[str] = []
    found: dict[int, list[Track]] = {key: [] for key, clip in content.clips.items() if clip is not None}
    for place, entry in enumerate(entries):
        try:
            tracked = _tracked(entry, content, found_track)
        except DataError as error:
            problems.append(f"[{place}]: {error}")
        else:
            if tracked is not None:
                found[tracked[0]].append(tracked[1])
    return found, problems


def _by_id(
    entries: Sequence[Any], name: str, read: Callable[[Mapping[str, Any]], Entry], problems: list[str]
) -> dict[int, Entry | None]:
    """What `read` makes of each entry, by its id; None for one with a problem, which is added to the others."""
    found: dict[int, Entry | None] = {}
    for place, entry in enumerate(entries):
        key = entry.get("id") if isinstance(entry, dict) else None
        if type(key) is not int:
            problems.append(f"{name}[{place}]: expected an object with an id (integer), got {shown(entry)}")
        elif key in found:
            problems.append(f"{name}[{place}]: id {key} is there twice")
        else:
            try:
                found[key] = read(entry)
            except DataError as error:
                found[key] = None
                problems.append(f"{name}[{place}], id {key}: {error}")
    return found


def _video(entry: Mapping[str, Any], images: Path) -> AnnotatedClip:
    names = entry.get("file_names")
    if not isinstance(names, list) or not names:
        raise DataError(f"expected file_names, a list with a file of each frame, got {shown(names)}")
    if problem := next(filter(None, map(name_problem, names)), None):
        raise DataError(problem)
    size, problem = entry_size(dict(entry))
    if problem or size is None:
        raise DataError(problem or "expected the height and width of the frames, got none")
    photos = tuple(find_photo(images, tidy_name(name)) for name in names)
    missing = [photo for photo in photos if not photo.is_file()]
    if missing:
        raise DataError(f"expected {len(photos)} frames; {len(missing)} are not there, such as {missing[0]}")
    return AnnotatedClip(posixpath.dirname(tidy_name(names[0])) or str(entry["id"]), photos, (), size)


def _named_once(clips: Mapping[int, AnnotatedClip | None], problems: list[str]) -> dict[int, AnnotatedClip | None]:
    """The clips, without those whose frames are in the folder of an earlier one."""
    named: dict[str, int] = {}
    for key, clip in clips.items():
        if clip is not None and named.setdefault(clip.name, key) != key:
            problems.append(f"videos, id {key}: its folder {shown(clip.name)} is also that of video {named[clip.name]}")
    return {key: clip if clip and named[clip.name] == key else None for key, clip in clips.items()}


def _tracked(
    entry: object, content: VideoContent, read: Callable[[Mapping[str, Any], AnnotatedClip], Track]
) -> tuple[int, Track] | None:
    """Id of the video and track of an entry; None for one of a video that is left out."""
    if not isinstance(entry, dict):
        raise DataError(f"expected an object, got {shown(entry)}")
    for name, known in (("video_id", content.clips), ("category_id", content.categories)):
        if type(entry.get(name)) is not int or entry[name] not in known:
            raise DataError(f"expected a {name} that the annotations list, got {shown(entry.get(name))}")
    clip = content.clips[entry["video_id"]]
    return None if clip is None else (entry["video_id"], read(entry, clip))
