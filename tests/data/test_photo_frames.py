"""EXIF orientation of annotated photos: a choice, made by the annotated sizes where all of them agree."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from annotated_files import HEIGHT, SQUARE, WIDTH, image, instance, some_masks, write_json, write_photo, write_sa1b
from hqsam_lightning.data.datasets import CocoInstances, Sa1b
from hqsam_lightning.data.reading import read_header, read_image
from hqsam_lightning.errors import ConfigError, DataError

STORED, TURNED = (HEIGHT, WIDTH), (WIDTH, HEIGHT)


def write(folder: Path, orientations: list[int | None], sizes: list[tuple[int, int] | None]) -> Path:
    """Photos 0.jpg, 1.jpg, ... of STORED pixels, each with a square; sizes are those that the JSON states."""
    images = []
    for number, (orientation, size) in enumerate(zip(orientations, sizes, strict=True)):
        write_photo(folder / f"{number}.jpg", orientation)
        stated = {} if size is None else {"height": size[0], "width": size[1]}
        images.append({"id": number, "file_name": f"{number}.jpg", **stated})
    return write_json(folder, images, [instance(number, number) for number in range(len(images))])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_as_stored_and_as_shown(tmp_path: Path, orientation: int) -> None:
    """Next to what Pillow makes of the same file, with and without exif_transpose."""
    pixels = np.random.default_rng(orientation).integers(0, 256, (5, 7, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path, exif=exif)
    assert read_header(path) == (5, 7, orientation)
    assert np.array_equal(read_image(path, exif=False), pixels)
    with Image.open(path) as opened:
        assert np.array_equal(read_image(path), np.asarray(ImageOps.exif_transpose(opened)))


@pytest.mark.parametrize("orientation", [None, 1, 9, 0])
@pytest.mark.parametrize("exif", [None, "apply", "ignore"])
def test_photos_without_an_orientation_need_no_choice(
    tmp_path: Path, orientation: int | None, exif: str | None
) -> None:
    photos = CocoInstances(write(tmp_path, [orientation], [STORED]), tmp_path, 1, exif=exif)
    assert photos[0].image.shape[:2] == STORED
    assert photos.identify(0) == CocoInstances(write(tmp_path, [orientation], [STORED]), tmp_path, 1).identify(0)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("exif", ["apply", "ignore"])
def test_the_choice_decides_what_is_read(tmp_path: Path, orientation: int, exif: str) -> None:
    turned = exif == "apply" and orientation >= 5
    path = write(tmp_path, [None, orientation], [STORED, TURNED if turned else STORED])
    photos = CocoInstances(path, tmp_path, 1, exif=exif, check="full")
    assert np.array_equal(photos[1].image, read_image(tmp_path / "1.jpg", exif=exif == "apply"))
    assert photos[1].masks.shape[1:] == (TURNED if turned else STORED)
    assert (photos[1].masks[0, 10, 10], photos[1].masks[0, 30, 30]) == (1, 0)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize(("size", "exif"), [(STORED, "ignore"), (TURNED, "apply")])
def test_sizes_decide_quarter_turns(
    tmp_path: Path, orientation: int, size: tuple[int, int], exif: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, [None, orientation, 6], [STORED, size, size])
    with caplog.at_level("INFO"):
        photos = CocoInstances(path, tmp_path, 1)
    assert f"data.exif={exif}: the annotated sizes of all 2 photos with an EXIF orientation fit it" in caplog.text
    assert photos[1].image.shape[:2] == size
    other = "apply" if exif == "ignore" else "ignore"
    with pytest.raises(DataError, match=r"2 problem.*\n.*'1\.jpg' with height x width"):
        CocoInstances(path, tmp_path, 1, exif=other)


@pytest.mark.parametrize(
    ("orientations", "sizes", "counts"),
    [
        ([3], [STORED], "apply for 0 of them, ignore for 0"),
        ([2, 1, 4], [STORED, STORED, STORED], "apply for 0 of them, ignore for 0"),
        ([6], [None], "apply for 0 of them, ignore for 0"),
        ([6, 3], [TURNED, STORED], "apply for 1 of them, ignore for 0"),
        ([6, 8], [TURNED, STORED], "apply for 1 of them, ignore for 1"),
        ([6], [(9, 9)], "apply for 0 of them, ignore for 0"),
    ],
)
def test_what_nothing_decides_is_asked(tmp_path: Path, orientations: list, sizes: list, counts: str) -> None:
    path = write(tmp_path, orientations, sizes)
    with pytest.raises(ConfigError, match=rf"^data\.exif: expected apply or ignore, got null; .*{counts}$") as caught:
        CocoInstances(path, tmp_path, 1)
    assert f"'0.jpg' ({orientations[0]})" in str(caught.value)


def test_photos_that_are_left_out_are_not_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path, [1, 3, 1], [STORED] * 3)
    assert len(CocoInstances(path, tmp_path, 1, exclude=["1"])) == 2


def test_a_square_photo_is_not_decided_by_its_size(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg", 6, (HEIGHT, HEIGHT))
    path = write_json(tmp_path, [image(1, "a.jpg", width=HEIGHT)], [instance(1, 1, [SQUARE])])
    with pytest.raises(ConfigError, match=r"data\.exif: expected apply or ignore, got null"):
        CocoInstances(path, tmp_path, 1)
    assert len(CocoInstances(path, tmp_path, 1, exif="ignore")) == 1


def test_ignored_orientations_make_another_identity(tmp_path: Path) -> None:
    path = write(tmp_path, [3], [STORED])
    made = [CocoInstances(path, tmp_path, 1, exif=exif).identify(0) for exif in ("apply", "ignore")]
    assert made[0] != made[1]


@pytest.mark.parametrize("exif", ["", "auto", True, 6])
def test_an_unknown_choice_lists_the_choices(tmp_path: Path, exif: object) -> None:
    with pytest.raises(ConfigError, match=r"data\.exif: expected one of apply, ignore, null; got"):
        CocoInstances(write(tmp_path, [1], [STORED]), tmp_path, 1, exif=exif)


def test_sa1b_is_decided_by_its_run_lengths(tmp_path: Path) -> None:
    masks = some_masks(2)
    photo = write_sa1b(tmp_path, masks)
    write_photo(photo, 6)
    assert np.array_equal(Sa1b(tmp_path, 2)[0].masks > 0.5, np.stack(masks))
    content = json.loads(photo.with_suffix(".json").read_text())
    del content["image"]
    photo.with_suffix(".json").write_text(json.dumps(content))
    assert Sa1b(tmp_path, 2)[0].image.shape[:2] == STORED
    write_photo(photo, 3)
    with pytest.raises(ConfigError, match=r"data\.exif: expected apply or ignore, got null; .*'sa_1\.jpg' \(3\)"):
        Sa1b(tmp_path, 2)
