"""`data check` names every file that cannot be used, and counts what is wrong by kind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from annotated_files import HEIGHT, WIDTH, run_lengths, some_masks
from hqsam_lightning.config import conf_dir
from hqsam_lightning.data.__main__ import check, main, require_sound
from hqsam_lightning.data.checking import Checked, check_sets
from hqsam_lightning.errors import ConfigError, DataError
from launched import run_command
from mask_pictures import classes, disc

WHITE = disc() * np.uint8(255)


def put(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def put_pair(folder: Path, stem: str, mask: np.ndarray = WHITE) -> None:
    put(folder / "images" / f"{stem}.jpg", np.zeros((64, 64, 3), np.uint8))
    put(folder / "masks" / f"{stem}.png", mask)


def break_files(folder: Path) -> None:
    """Four sound pairs, and one pair of each fault."""
    for stem in "abcd":
        put_pair(folder, stem)
    put_pair(folder, "unmasked")
    (folder / "masks/unmasked.png").unlink()
    for stem, part in (("cut_photo", "images"), ("cut_mask", "masks")):
        put_pair(folder, stem)
        (path,) = (folder / part).glob(f"{stem}.*")
        path.write_bytes(path.read_bytes()[:-40])
    put_pair(folder, "small", WHITE[:40])
    put_pair(folder, "empty", WHITE * 0)
    put_pair(folder, "classes", classes(1, 2, 255))


def checked(folder: Path, *overrides: str) -> list[Checked]:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return check(compose("data_check", overrides=["data=folder", f"paths.data_dir={folder}", *overrides]))


def test_each_fault_is_counted_and_its_file_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_files(tmp_path)
    (found,) = checked(tmp_path, f"out={tmp_path / 'findings.csv'}", "data.catalogue.folder.mask_values=soft")
    assert (found.photos, found.masks, found.notes) == (10, 9, 1)
    assert found.counts == {"no mask": 1, "broken": 2, "size": 1, "empty": 1, "not a mask": 0}
    table = pd.read_csv(tmp_path / "findings.csv", keep_default_na=False)
    named = {kind: sorted(Path(file).stem for file in part["file"]) for kind, part in table.groupby("kind")}
    assert named == {
        "no mask": ["unmasked"],
        "broken": ["cut_mask", "cut_photo"],
        "size": ["small"],
        "empty": ["empty"],
        "unlike": ["classes"],
        "problem": [""],
    }
    shown = capsys.readouterr().out
    assert "5 problem(s)" in shown
    for name in ("unmasked.jpg", "cut_photo.jpg", "cut_mask.png", "small.png", "empty.png"):
        assert name in shown
    with pytest.raises(DataError, match=r"1 of 1 sets have problems: folder; see above"):
        require_sound([found])


def test_masks_that_are_none_are_a_fault_where_the_meaning_is_left_open(tmp_path: Path) -> None:
    for number in range(12):
        put_pair(tmp_path, str(number), classes(1, 2, 255) if number == 7 else WHITE)
    (found,) = checked(tmp_path)
    assert found.counts["not a mask"] == 0, "one of the files looked at leaves the meaning open"
    assert "cannot decide" in found.problems[0]
    (found,) = checked(tmp_path, "data.catalogue.folder.mask_values=soft")
    assert (found.notes, found.problems) == (1, [])


def test_a_sound_set_is_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for stem in "ab":
        put_pair(tmp_path, stem)
    found = checked(tmp_path)
    require_sound(found)
    assert capsys.readouterr().out.splitlines()[-1].endswith("sound")


def test_counts_and_missing_folders_of_the_catalogue(tmp_path: Path) -> None:
    put(tmp_path / "cascade_psp/ecssd/1.jpg", np.zeros((64, 64, 3), np.uint8))
    put(tmp_path / "cascade_psp/ecssd/1.png", WHITE)
    overrides = ["data=hqseg44k", "sources=[ecssd,coift]", "data.catalogue.ecssd.expected=2"]
    ecssd, coift = checked(tmp_path, *overrides)
    assert (ecssd.expected, ecssd.photos, ecssd.masks) == (2, 1, 1)
    assert ecssd.problems == ["ecssd: expected 2 pairs, found 1 in cascade_psp/ecssd; download the set again"]
    assert (coift.expected, coift.photos, len(coift.problems)) == (280, 0, 1)
    assert "COIFT/images does not exist" in coift.problems[0]
    with pytest.raises(ConfigError, match=r"sources: expected one of coift, dis5k_tr, .*; got 'ecsd'"):
        checked(tmp_path, "data=hqseg44k", "sources=[ecsd]")


def coco_file(folder: Path, **changes: Any) -> list[str]:
    """A file of two photos with a mask each."""
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "height": HEIGHT, "width": WIDTH} for n in (1, 2)],
        "annotations": [
            {"id": n, "image_id": n, "segmentation": run_lengths(mask)}
            for n, mask in zip((1, 2), some_masks(2), strict=True)
        ],
    }
    (folder / "all.json").write_text(json.dumps(content | changes))
    for number in (1, 2):
        put(folder / "photos" / f"{number}.jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    return ["data=coco", f"data.data_dir={folder}", "data.annotations=all.json", "data.images=photos"]


def test_files_in_cocos_format(tmp_path: Path) -> None:
    (found,) = checked(tmp_path, *coco_file(tmp_path))
    assert (found.name, found.photos, found.masks, found.problems) == ("coco", 2, 2, [])
    twenty_five = [{"id": number, "image_id": 9} for number in range(25)]
    (found,) = checked(tmp_path, *coco_file(tmp_path, annotations=twenty_five))
    assert len(found.problems) == 25, "all of them, where an error of a run lists 20"


def test_missing_photos_of_a_file_in_cocos_format(tmp_path: Path) -> None:
    overrides = coco_file(tmp_path)
    (tmp_path / "photos/2.jpg").unlink()
    (found,) = checked(tmp_path, *overrides)
    assert found.problems == [f"data.images={tmp_path / 'photos'}: '2.jpg' of all.json is missing"]


def test_sets_within_sets_are_checked(tmp_path: Path) -> None:
    found = check_sets(
        {
            "_target_": "hqsam_lightning.data.also_validate_on",
            "scenes": {
                "_target_": "hqsam_lightning.data.synthetic_sets",
                **{"train_size": 2, "val_size": 1, "image_size": 64},
            },
            "photos": {
                "_target_": "hqsam_lightning.data.folder_sets",
                "catalogue": {"birds": {"images": "im"}},
                **{"sources": [], "val_sources": ["birds"], "data_dir": str(tmp_path)},
            },
        },
        None,
        "full",
    )
    assert [(each.name, bool(each.problems)) for each in found] == [("synthetic", False), ("birds", True)]


def test_the_command_ends_with_status_1(tmp_path: Path) -> None:
    break_files(tmp_path)
    ended = run_command("hqsam_lightning", "data", "check", "data=folder", f"paths.data_dir={tmp_path}", cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: 1 of 1 sets have problems: folder; ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "masks"], "nothing is written"


@pytest.mark.parametrize("words", [[], ["chek"]])
def test_an_unknown_action_is_named(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["data", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith("error: expected one of check, summary, download")
