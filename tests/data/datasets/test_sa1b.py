"""SA-1B's folders: what is found, used and left out; damaged files are named."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from annotated_files import HEIGHT, WIDTH, compressed, run_lengths, some_masks, write_photo, write_sa1b
from hqsam_lightning.data.datasets import Sa1b, sa1b
from hqsam_lightning.errors import ConfigError, DataError


def stems(photos: Sa1b) -> list[str]:
    return [photo.path.stem for photo in photos.photos]


@pytest.mark.parametrize("form", [run_lengths, compressed])
@pytest.mark.parametrize("check", ["quick", "full"])
def test_masks_are_what_was_written(tmp_path: Path, form, check: str) -> None:
    masks = some_masks(3)
    write_sa1b(tmp_path / "sa_000000", masks, form)
    sample = Sa1b(tmp_path, max_masks=5, check=check)[0]
    assert (sample.sample_id, sample.dataset) == ("sa1b/sa_1", "sa1b")
    assert sample.image.shape == (HEIGHT, WIDTH, 3)
    assert sample.masks.dtype == np.float32
    assert np.array_equal(sample.masks > 0.5, np.stack(masks))


def test_the_first_photos_by_name(tmp_path: Path) -> None:
    for stem in ("sa_3", "sa_1", "sa_2"):
        write_sa1b(tmp_path / f"folder_of_{stem}", some_masks(1), stem=stem)
    assert stems(Sa1b(tmp_path, 1, limit=2)) == ["sa_1", "sa_2"]
    assert stems(Sa1b(tmp_path, 1, limit=2, exclude=["sa_1"])) == ["sa_2", "sa_3"]
    assert stems(Sa1b(tmp_path, 1, exclude=["folder_of_sa_2/sa_2.jpg"])) == ["sa_1", "sa_3"]
    with pytest.raises(DataError, match=r"data\.exclude: expected names of photos of .* got 'sa_4'"):
        Sa1b(tmp_path, 1, exclude=["sa_4"])


@pytest.mark.parametrize("limit", [0, -3, True, 1.5, "2"])
def test_an_impossible_limit(tmp_path: Path, limit: object) -> None:
    write_sa1b(tmp_path, some_masks(1))
    with pytest.raises(ConfigError, match=r"data\.limit: expected an integer >= 1, or null; got"):
        Sa1b(tmp_path, 1, limit=limit)


def test_fewer_photos_than_wanted_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_sa1b(tmp_path, some_masks(1))
    assert len(Sa1b(tmp_path, 1, limit=1)) == 1
    assert not caplog.text
    assert len(Sa1b(tmp_path, 1, limit=2)) == 1
    assert "1 photos, fewer than data.limit=2" in caplog.text


def test_what_is_left_out_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        write_sa1b(tmp_path / "sa_000000", some_masks(1), stem=f"sa_{number}")
    write_photo(tmp_path / "sa_000000" / "sa_7.jpg")
    write_photo(tmp_path / "sa_000000" / "sa_8.webp")
    (tmp_path / "sa_9.json").write_text("{}")
    (tmp_path / "._sa_1.jpg").write_bytes(b"hidden")
    with caplog.at_level("INFO"):
        assert stems(Sa1b(tmp_path, 1, exclude=["sa_2.jpg"])) == ["sa_0", "sa_1"]
    assert (
        "4 photos, 2 usable; left out: 1 photos by data.exclude, 1 photos without a .json, or no regular file, "
        "1 .json files without a photo, 1 pictures of other formats" in caplog.text
    )


def test_photos_of_other_suffixes_are_found(tmp_path: Path) -> None:
    for number, suffix in enumerate((".JPG", ".jpeg", ".png")):
        photo = write_sa1b(tmp_path, some_masks(1), stem=f"sa_{number}")
        photo.unlink()
        write_photo(photo.with_suffix(suffix))
    assert [photo.path.name for photo in Sa1b(tmp_path, 1).photos] == ["sa_0.JPG", "sa_1.jpeg", "sa_2.png"]


def test_linked_folders_are_entered_once(tmp_path: Path) -> None:
    write_sa1b(tmp_path / "elsewhere" / "sa_000000", some_masks(1))
    root = tmp_path / "SA-1B"
    root.mkdir()
    (root / "sa_000000").symlink_to(tmp_path / "elsewhere" / "sa_000000")
    (tmp_path / "elsewhere" / "sa_000000" / "round").symlink_to(root)
    assert stems(Sa1b(root, 1)) == ["sa_1"]


def test_two_photos_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("sa_000000", "copy"):
        write_sa1b(tmp_path / folder, some_masks(1))
    with pytest.raises(DataError, match=r"2 problem.*\n.*'copy/sa_1\.jpg': another photo has the same name\n.*000000"):
        Sa1b(tmp_path, 1)


@pytest.mark.parametrize("name", [b"sa_\xff", b"sa_\n1", b"\x01"])
def test_names_that_are_no_text_are_refused(tmp_path: Path, name: bytes) -> None:
    photo = write_sa1b(tmp_path, some_masks(1))
    for suffix in (".jpg", ".json"):
        os.rename(photo.with_suffix(suffix), os.fsencode(tmp_path) + b"/" + name + suffix.encode())
    with pytest.raises(DataError, match="expected a file name of UTF-8 text without control characters") as caught:
        Sa1b(tmp_path, 1)
    str(caught.value).encode()


def test_a_pipe_instead_of_a_photo_is_not_opened(tmp_path: Path) -> None:
    write_sa1b(tmp_path, some_masks(1))
    write_sa1b(tmp_path, some_masks(1), stem="sa_2").unlink()
    os.mkfifo(tmp_path / "sa_2.jpg")
    assert stems(Sa1b(tmp_path, 1)) == ["sa_1"]
    (tmp_path / "sa_1.json").unlink()
    os.mkfifo(tmp_path / "sa_1.json")
    with pytest.raises(DataError, match=r"sa_1\.json: expected a regular file, got a pipe"):
        Sa1b(tmp_path, 1)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.folder=.*expected SA-1B's sa_N\.jpg with sa_N\.json .*found none"):
        Sa1b(tmp_path, 1)
    for folder in ("absent", "file"):
        (tmp_path / "file").write_text("")
        with pytest.raises(DataError, match=rf"data\.folder: cannot list '.*{folder}' \(No"):
            Sa1b(tmp_path / folder, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"sa_1\.json: expected JSON, cannot read it"),
        ("[" * 100_000, r"sa_1\.json: expected JSON, cannot read it"),
        ("[]", r"sa_1\.json: expected a JSON object with lists of annotations"),
        ('{"annotations": []}', r"sa_1\.json: expected at least one annotation"),
        ('{"annotations": [{"segmentation": 3}]}', r"annotations\[0\]: expected polygons or run lengths, got 3"),
        ('{"annotations": [7]}', r"annotations\[0\]: expected an object, got 7"),
        ('{"image": 3, "annotations": [{}]}', r"expected an object under image, got 3"),
        ('{"image": {"height": 0, "width": 3}, "annotations": [{}]}', r"image: expected a height and a width"),
    ],
)
def test_damaged_annotations_are_named(tmp_path: Path, text: str, message: str) -> None:
    write_sa1b(tmp_path, some_masks(1)).with_suffix(".json").write_text(text)
    with pytest.raises(DataError, match=message):
        Sa1b(tmp_path, 1)


def test_masks_of_another_size_or_without_pixels_are_named(tmp_path: Path) -> None:
    write_sa1b(tmp_path, [mask[:20] for mask in some_masks(1)])
    with pytest.raises(DataError, match=r"expected 'sa_1\.jpg' with height x width 20x56 .*, got 40x56"):
        Sa1b(tmp_path, 1)
    photo = write_sa1b(tmp_path, some_masks(2))
    content = json.loads(photo.with_suffix(".json").read_text())
    content["annotations"][1]["segmentation"]["size"] = [WIDTH, HEIGHT]
    photo.with_suffix(".json").write_text(json.dumps(content))
    with pytest.raises(
        DataError, match=r"annotations\[1\]: expected run lengths of the image's size .*\(40, 56\), got"
    ):
        Sa1b(tmp_path, 1)
    write_sa1b(tmp_path, [np.zeros((HEIGHT, WIDTH), bool)])
    with pytest.raises(DataError, match=r"sa_1\.json: expected a mask with a pixel for 'sa_1\.jpg', found none"):
        Sa1b(tmp_path, 1)


def test_the_full_check_reads_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sa1b, "QUICK_SAMPLE", 2)
    for number in range(4):
        write_sa1b(tmp_path, some_masks(1), stem=f"sa_{number}")
    (tmp_path / "sa_1.json").write_text("{")
    cut = (tmp_path / "sa_2.jpg").read_bytes()
    (tmp_path / "sa_2.jpg").write_bytes(cut[:-10])
    photos = Sa1b(tmp_path, 1)
    with pytest.raises(DataError, match=r"sa_1\.json: expected JSON.*list a photo in data\.exclude"):
        photos[1]
    with pytest.raises(DataError, match=r"(?s)2 problem.*sa_1\.json.*sa_2\.jpg"):
        Sa1b(tmp_path, 1, check="full")
    assert stems(Sa1b(tmp_path, 1, check="full", exclude=["sa_1", "sa_2"])) == ["sa_0", "sa_3"]
