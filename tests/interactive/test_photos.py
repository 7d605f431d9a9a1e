"""Photos are read within limits, from the folder of uploads alone."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bombs import bomb
from hqsam_lightning.errors import DataError
from hqsam_lightning.interactive.photos import LONGEST_SHOWN, Photo, example_photos, read_upload

MOST = 10_000


def write_photo(path: Path, size: tuple[int, int] = (30, 20)) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_an_upload_is_read_as_it_is_turned(tmp_path: Path) -> None:
    pixels = write_photo(tmp_path / "a.png")
    photo = read_upload(str(tmp_path / "a.png"), tmp_path, MOST)
    assert (photo.name, photo.size) == ("a.png", (20, 30))
    assert np.array_equal(photo.pixels, pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_upload(str(tmp_path / "turned.png"), tmp_path, MOST).pixels, np.rot90(pixels, -1))


def half_a_photo() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()[: file.tell() // 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bomb(20_000), r"expected at most 268435456 pixels, got more in x\.png"),
        (bomb(101), r"expected at most 10000 pixels, got 101x101 in x\.png; scale"),
        (b"just text", "expected an image file of format JPEG, PNG.* in x.png"),
        (b"", "x.png"),
        (half_a_photo(), r"expected a whole image file, cannot read x\.png"),
    ],
    ids=["20,000 pixels", "too many pixels", "text", "empty", "cut"],
)
def test_what_is_no_photo_is_refused_by_its_name_alone(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(DataError, match=message) as refused:
        read_upload(str(tmp_path / "x.png"), tmp_path, MOST)
    assert str(tmp_path) not in str(refused.value)


def test_only_uploads_are_opened(tmp_path: Path) -> None:
    uploads = tmp_path / "uploads"
    (uploads / "folder").mkdir(parents=True)
    write_photo(tmp_path / "secret.png")
    (uploads / "link.png").symlink_to(tmp_path / "secret.png")
    outside: list[object] = [
        *(str(tmp_path / "secret.png"), "/etc/passwd", str(uploads / ".." / "secret.png"), str(uploads / "link.png")),
        *(str(uploads / "missing.png"), str(uploads / "folder"), str(uploads), "", "secret.png", "\0", "x" * 5000),
        *(None, 3, ["a"], {"path": "/etc/passwd"}, "http://127.0.0.1/a.png"),
    ]
    for path in outside:
        with pytest.raises(DataError, match=r"^expected a photo that was uploaded to this page"):
            read_upload(path, uploads, MOST)


def test_a_large_photo_is_shown_smaller() -> None:
    photo = Photo("wide", np.zeros((100, 4 * LONGEST_SHOWN, 3), np.uint8))
    assert photo.shown.shape == (25, LONGEST_SHOWN, 3)
    small = Photo("small", np.zeros((10, 20, 3), np.uint8))
    assert small.shown is small.pixels


def test_photos_are_the_same_by_their_pixels() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    other = pixels.copy()
    other[0, 0, 0] = 1
    keys = [Photo(name, each).key for name, each in [("a", pixels), ("b", pixels.copy()), ("a", other)]]
    assert keys[0] == keys[1] != keys[2]
    assert Photo("a", pixels.reshape(6, 4, 3)).key != keys[0]


def test_examples_are_photos_of_different_names() -> None:
    examples = example_photos()
    assert len({photo.name for photo in examples}) == len(examples) == 6
    assert all(photo.pixels.ndim == 3 and photo.pixels.std() > 10 for photo in examples)
