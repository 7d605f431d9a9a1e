"""Clips of DAVIS's layout: what is read, and what is wrong with clips that are left out."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqsam_lightning.data.clips import FolderClip, find_clips
from hqsam_lightning.data.mask_values import MaskValues
from hqsam_lightning.errors import DataError
from mask_pictures import DAVIS, palette
from video_files import FRAMES, moving_labels, write_davis

IDS = MaskValues("ids")
UNDEFINED = [(0, 0, 0)] * 256


def find(root: Path, values: MaskValues = IDS, names: Path | None = None) -> tuple[list[FolderClip], list[str]]:
    return find_clips(root / "images", root / "annotations", values, names)


def test_objects_and_masks(tmp_path: Path) -> None:
    write_davis(tmp_path)
    clips, problems = find(tmp_path)
    labels = moving_labels()
    assert [(clip.name, clip.objects, len(clip.photos)) for clip in clips] == [
        ("bear", (1, 2), FRAMES),
        ("dog", (1, 2), FRAMES),
    ]
    assert not problems
    for frame, plane in enumerate(labels):
        image, masks = clips[0].read(frame)
        assert np.array_equal(masks, np.stack([plane == 1, plane == 2]))
        assert np.array_equal(image, np.asarray(Image.open(clips[0].photos[frame])))


def test_single_objects(tmp_path: Path) -> None:
    write_davis(tmp_path, single=True)
    (clip, _), _ = find(tmp_path, MaskValues("nonzero"))
    assert clip.objects == (0,)
    assert np.array_equal(clip.masks(2), moving_labels()[2:3] == 1)


@pytest.mark.parametrize(
    "lines", ["dog\n\n", "/JPEGImages/480p/dog/00000.jpg /Annotations/480p/dog/00000.png\n" * 2], ids=["2017", "2016"]
)
def test_a_file_chooses_clips(tmp_path: Path, lines: str) -> None:
    write_davis(tmp_path)
    (tmp_path / "val.txt").write_text(lines)
    assert [clip.name for clip in find(tmp_path, names=tmp_path / "val.txt")[0]] == ["dog"]


def drop_mask(root: Path) -> None:
    (root / "annotations/bear/00002.png").unlink()


def drop_photo(root: Path) -> None:
    (root / "images/bear/00002.png").unlink()


def drop_both(root: Path) -> None:
    drop_mask(root)
    drop_photo(root)


def drop_folder(root: Path) -> None:
    shutil.rmtree(root / "images/bear")


def empty_first(root: Path) -> None:
    palette(np.zeros((48, 64), np.uint8), DAVIS).save(root / "annotations/bear/00000.png")


def damage(root: Path) -> None:
    (root / "annotations/bear/00000.png").write_bytes(b"\x89PNG\r\n\x1a\n")


BROKEN = {
    drop_mask: r"expected 4 frames in \S*annotations/bear, got 3 of them, without 00002",
    drop_photo: r"expected 4 frames in \S*images/bear, got 3 of them, without 00002",
    drop_both: r"expected frames numbered in steps of 1, got 00003 after 00001 in \S*images/bear",
    drop_folder: r"cannot list \S*images/bear",
    empty_first: r"expected an object in the clip's first mask \(mask_values=ids\), got values 0 to 0 in \S*00000.png",
    damage: r"00000.png",
}


@pytest.mark.parametrize("breaking", BROKEN, ids=lambda each: each.__name__)
def test_a_clip_with_a_problem_is_left_out(tmp_path: Path, breaking) -> None:
    write_davis(tmp_path)
    breaking(tmp_path)
    clips, (problem,) = find(tmp_path)
    assert [clip.name for clip in clips] == ["dog"]
    assert problem.startswith("clip 'bear': ")
    with pytest.raises(DataError, match=BROKEN[breaking]):
        raise DataError(problem)


def test_an_object_that_the_first_mask_does_not_define(tmp_path: Path) -> None:
    write_davis(tmp_path)
    plane = moving_labels()[2]
    plane[:4, :4] = 7
    palette(plane, UNDEFINED).save(tmp_path / "annotations/bear/00002.png")
    clip = find(tmp_path)[0][0]
    with pytest.raises(DataError, match=r"expected the objects of the clip's first mask, 1, 2; got 7 in \S*00002.png"):
        clip.masks(2)


def test_a_palette_whose_colours_nobody_defined(tmp_path: Path) -> None:
    """All indices show as black, so that nothing is an object; as ids they are objects."""
    write_davis(tmp_path, names=("bear",))
    for frame, plane in enumerate(moving_labels()):
        palette(plane, UNDEFINED).save(tmp_path / "annotations/bear" / f"{frame:05d}.png")
    (problem,) = find(tmp_path, MaskValues("nonzero"))[1]
    assert "expected an object in the clip's first mask (mask_values=nonzero), got values 0 to 0" in problem
    assert find(tmp_path)[0][0].objects == (1, 2)


def test_masks_of_another_size(tmp_path: Path) -> None:
    write_davis(tmp_path)
    palette(moving_labels()[1][:, :-2], DAVIS).save(tmp_path / "annotations/bear/00001.png")
    clip = find(tmp_path)[0][0]
    with pytest.raises(DataError, match=r"expected masks of their frame's size.*48x64 in \S*00001.png and 48x62"):
        clip.read(1)


@pytest.mark.parametrize(("content", "expected"), [(b"\n \n", "got none"), (b"\xff\xfe\x00", "expected a text file")])
def test_a_list_of_clips_that_is_none(tmp_path: Path, content: bytes, expected: str) -> None:
    write_davis(tmp_path)
    (tmp_path / "val.txt").write_bytes(content)
    with pytest.raises(DataError, match=expected):
        find(tmp_path, names=tmp_path / "val.txt")
