"""YouTube-VIS's files: what is read, and every problem of a file, by a line each."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hqsam_lightning.data.video_json import read_tracks, read_videos
from hqsam_lightning.errors import DataError
from video_files import HEIGHT, WIDTH, annotated, found, moving_labels, results, tube, video, write_ytvis, ytvis


def test_annotations(tmp_path: Path) -> None:
    path, _ = write_ytvis(tmp_path, ytvis())
    content, problems = read_videos(path, tmp_path / "images")
    assert not problems
    assert content.categories == {1: "disc", 2: "square"}
    assert [clip.name for clip in content.clips.values()] == ["bear", "dog"]
    clip, labels = content.clips[2], moving_labels()
    assert clip.objects == (21, 22)
    for frame, plane in enumerate(labels):
        assert np.array_equal(clip.read(frame)[1], np.stack([plane == 1, plane == 2]))
    squares = (labels == 2).sum((1, 2))
    assert clip.tracks[1].area == squares[:-1].mean()


def test_results_of_boxes_and_of_masks(tmp_path: Path) -> None:
    labels = moving_labels()
    masks = {"video_id": 2, "category_id": 2, "score": 1, "segmentations": tube(labels == 2)}
    path, tracks = write_ytvis(tmp_path, ytvis(), [found(1, labels == 1), masks])
    content, _ = read_videos(path, tmp_path / "images")
    read, problems = read_tracks(tracks, content)
    assert not problems
    assert read[1][0].boxes[0] == (6, 4, 27, 25)
    assert read[2][0].segmentations[-1] is None
    assert np.array_equal(read[2][0].mask(1, (HEIGHT, WIDTH)), labels[1] == 2)


def test_a_box_is_cut_off_at_the_frame(tmp_path: Path) -> None:
    entry = found(1, moving_labels() == 1, bboxes=[[-5.5, 40, 20, 30], None, None, None])
    path, tracks = write_ytvis(tmp_path, ytvis(), [entry])
    read, _ = read_tracks(tracks, read_videos(path, tmp_path / "images")[0])
    assert read[1][0].boxes == ((0, 40, 14.5, 48), None, None, None)


MASKS = moving_labels() == 1
WRONG_SIZE, WRONG_SUM = ([{"size": size, "counts": [9]}] + [None] * 3 for size in ([3, 3], [48, 64]))

BAD_ANNOTATIONS: dict[str, tuple[str, Any, str]] = {
    "repeated video": ("videos", video(1, "cat"), r"videos\[2\]: id 1 is there twice"),
    "repeated folder": ("videos", video(3, "bear"), "id 3: its folder 'bear' is also that of video 1"),
    "video without id": ("videos", {}, r"videos\[2\]: expected an object with an id \(integer\)"),
    "no files": ("videos", video(3, "cat", file_names=[]), "expected file_names, a list"),
    "outside": ("videos", video(3, "../cat"), "expected a file name inside the folder"),
    "no size": ("videos", video(3, "bear", width=0), "expected a height and a width"),
    "unknown size": ("videos", video(3, "bear", width=None, height=None), "expected the height and width of"),
    "missing frame": ("videos", video(3, "bear", 5), r"expected 5 frames; 1 are not there, such as \S*bear/00004.png"),
    "repeated annotation": ("annotations", annotated(11, 1, MASKS), "id 11 is there twice"),
    "unknown video": ("annotations", annotated(3, 9, MASKS), "expected a video_id that the annotations list, got 9"),
    "unknown category": ("annotations", annotated(3, 1, MASKS, 7), "expected a category_id .* list, got 7"),
    "repeated category": ("categories", {"id": 2}, r"categories\[2\]: id 2 is there twice"),
    "crowd": ("annotations", annotated(3, 1, MASKS, iscrowd=2), "expected an iscrowd of 0 or 1, got 2"),
    "too few masks": ("annotations", annotated(3, 1, MASKS[:3]), "one or null for each of 4 frames; got 3 of them"),
    "no mask": ("annotations", annotated(3, 1, MASKS & False), "of at least one frame, got null"),
    "size of a mask": (
        "annotations",
        annotated(3, 1, MASKS, segmentations=WRONG_SIZE),
        r"frame 0: expected run lengths of the video's size \(height, width\) \(48, 64\), got \(3, 3\)",
    ),
    "sum of a mask": ("annotations", annotated(3, 1, MASKS, segmentations=WRONG_SUM), "that add up to 3072 pixels"),
    "areas": ("annotations", annotated(3, 1, MASKS, areas=[-1] * 4), "expected areas"),
}


@pytest.mark.parametrize("kind", BAD_ANNOTATIONS)
def test_a_bad_annotation_is_left_out_and_named(tmp_path: Path, kind: str) -> None:
    key, entry, expected = BAD_ANNOTATIONS[kind]
    content = ytvis()
    path, _ = write_ytvis(tmp_path, content)
    content[key].append(entry)
    path.write_text(json.dumps(content))
    read, (problem,) = read_videos(path, tmp_path / "images")
    with pytest.raises(DataError, match=expected):
        raise DataError(problem)
    assert [clip.objects for clip in read.clips.values() if clip] == [(11, 12), (21, 22)]


BAD_RESULTS: dict[str, tuple[Any, str]] = {
    "no object": (3, "expected an object, got 3"),
    "unknown video": (found(9, MASKS), "expected a video_id that the annotations list, got 9"),
    "text as id": (found("1", MASKS), "expected a video_id that the annotations list, got '1'"),
    "unknown category": (found(1, MASKS, 7), "expected a category_id that the annotations list, got 7"),
    "no score": (found(1, MASKS, score=None), r"expected a score \(finite number\), got None"),
    "NaN score": (found(1, MASKS, score=float("nan")), r"expected a score \(finite number\), got nan"),
    "text score": (found(1, MASKS, score="NaN"), r"expected a score \(finite number\), got 'NaN'"),
    "box outside": (
        found(1, MASKS, bboxes=[[64, 5, 5, 5], None, None, None]),
        r"frame 0: expected a box .* with an area inside the frame of 64x48 pixels, got \[64, 5, 5, 5\]",
    ),
    "box without area": (found(1, MASKS, bboxes=[[4, 5, 0, 5]] * 4), r"with an area .* got \[4, 5, 0, 5\]"),
    "negative box": (found(1, MASKS, bboxes=[[9, 5, 3, -5]] * 4), "with an area"),
    "three numbers": (found(1, MASKS, bboxes=[[4, 5, 5]] * 4), r"of finite numbers, got \[4, 5, 5\]"),
    "too few boxes": (found(1, MASKS[:2]), "expected bboxes, one or null for each of 4 frames; got 2 of them"),
    "no box": (found(1, MASKS & False), "expected bboxes of at least one frame, got null for all"),
    "nothing": ({"video_id": 1, "category_id": 1, "score": 0.5}, "expected segmentations, one or null for each"),
    "size of a mask": (
        {"video_id": 1, "category_id": 1, "score": 0.5, "segmentations": WRONG_SIZE},
        "expected run lengths of the video's size",
    ),
}


@pytest.mark.parametrize("kind", BAD_RESULTS)
def test_a_bad_track_is_left_out_and_named(tmp_path: Path, kind: str) -> None:
    entry, expected = BAD_RESULTS[kind]
    path, tracks = write_ytvis(tmp_path, ytvis(), [*results(), entry])
    read, (problem,) = read_tracks(tracks, read_videos(path, tmp_path / "images")[0])
    with pytest.raises(DataError, match=expected):
        raise DataError(problem)
    assert problem.startswith("[4]: ")
    assert [len(of_video) for of_video in read.values()] == [2, 2]


def test_what_belongs_to_a_broken_video_is_no_problem_of_its_own(tmp_path: Path) -> None:
    path, tracks = write_ytvis(tmp_path, ytvis())
    (tmp_path / "images/bear/00001.png").unlink()
    content, problems = read_videos(path, tmp_path / "images")
    read, of_tracks = read_tracks(tracks, content)
    assert (len(problems), of_tracks, list(read)) == (1, [], [2])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[", "expected JSON"),
        ("{}", "expected a list of tracks"),
        ("[]", "expected a list of tracks"),
    ],
)
def test_results_that_are_none(tmp_path: Path, text: str, expected: str) -> None:
    path, tracks = write_ytvis(tmp_path, ytvis())
    tracks.write_text(text)
    with pytest.raises(DataError, match=expected):
        read_tracks(tracks, read_videos(path, tmp_path / "images")[0])


def test_annotations_that_are_none(tmp_path: Path) -> None:
    path, _ = write_ytvis(tmp_path, {"videos": [], "annotations": []})
    with pytest.raises(DataError, match="lists of videos and annotations and categories"):
        read_videos(path, tmp_path / "images")
