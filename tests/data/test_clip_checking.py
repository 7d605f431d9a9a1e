"""`data check` of videos names missing and broken frames."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from hqsam_lightning.config import conf_dir
from hqsam_lightning.data.__main__ import check
from hqsam_lightning.data.checking import Checked
from hqsam_lightning.errors import ConfigError
from video_files import FRAMES, write_davis, write_ytvis, ytvis


def checked(*overrides: str) -> Checked:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        (found,) = check(compose("data_check", overrides=list(overrides)))
    return found


def folders(root: Path, annotations: str = "annotations") -> list[str]:
    return [f"videos.images={root / 'images'}", f"videos.annotations={root / annotations}"]


@pytest.mark.parametrize("single", [False, True])
def test_sound_clips_in_davis_folders(tmp_path: Path, single: bool) -> None:
    write_davis(tmp_path, single=single)
    found = checked(*folders(tmp_path))
    assert (found.photos, found.masks, found.problems) == (2 * FRAMES, 2 if single else 4, [])


def test_a_missing_and_a_broken_frame_are_named(tmp_path: Path) -> None:
    write_davis(tmp_path)
    (tmp_path / "annotations/bear/00002.png").unlink()
    broken = tmp_path / "images/dog/00001.png"
    broken.write_bytes(broken.read_bytes()[:200])
    found = checked(*folders(tmp_path))
    assert len(found.problems) == 2
    assert "clip 'bear': expected 4 frames" in found.problems[0]
    assert "without 00002" in found.problems[0]
    assert [file for _, file, _ in found.findings] == [str(broken)]
    assert checked(*folders(tmp_path), "check=quick").problems == found.problems[:1]


def test_videos_of_a_json_file(tmp_path: Path) -> None:
    write_ytvis(tmp_path, ytvis())
    found = checked(*folders(tmp_path, "instances.json"))
    assert (found.photos, found.masks, found.problems) == (2 * FRAMES, 4, [])
    (tmp_path / "images/dog/00003.png").unlink()
    for how in ("quick", "full"):
        (problem,) = checked(*folders(tmp_path, "instances.json"), f"check={how}").problems
        assert "dog/00003.png" in problem


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    assert "cannot find it" in checked(*folders(tmp_path, "none.json")).problems[0]
    with pytest.raises(ConfigError, match=r"videos\.annotations: expected a folder or a JSON file"):
        checked(f"videos.images={tmp_path}")
