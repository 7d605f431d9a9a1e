"""Which photos a file, a folder or a pattern gives, in which order, and which names are refused."""

from pathlib import Path

import pytest

from hqsam_lightning.errors import DataError
from hqsam_lightning.prediction.photos import find_photos, numbered


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("x_10.JPG", "x_9.png", ".hidden.png", "notes.txt", "deep/x_9.png", "deep/y.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names", "stems"),
    [
        ("", ["x_9.png", "x_10.JPG"], ["x_9", "x_10"]),
        ("*", ["x_9.png", "x_10.JPG"], ["x_9", "x_10"]),
        ("**/*.png", ["deep/x_9.png", "x_9.png"], ["deep/x_9", "x_9"]),
        ("deep/*", ["x_9.png", "y.tif"], ["x_9", "y"]),
        ("notes.txt", ["notes.txt"], ["notes"]),
    ],
)
def test_photos_in_the_order_of_their_numbers(folder: Path, pattern: str, names: list[str], stems: list[str]) -> None:
    found = find_photos(str(folder / pattern))
    assert ([photo.name for photo in found], [photo.stem for photo in found]) == (names, stems)
    assert all(photo.path.is_file() and photo.path.name == Path(photo.name).name for photo in found)


def test_one_stem_of_two_photos_keeps_the_suffix(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "b.png"):
        (tmp_path / name).touch()
    assert [photo.stem for photo in find_photos(str(tmp_path))] == ["a.jpg", "a.png", "b"]


def test_photos_whose_masks_would_have_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").touch()
    (tmp_path / "x_0.png").touch()
    with pytest.raises(DataError, match=r"masks of x\.jpg are numbered x_0, x_1, \.\.\., and x_0\.png is called so"):
        find_photos(str(tmp_path))


@pytest.mark.parametrize("is_named_itself", [True, False])
@pytest.mark.parametrize("name", [b"caf\xe9.png", b"a\nb.png"])
def test_a_name_that_cannot_be_written_is_refused(tmp_path: Path, name: bytes, is_named_itself: bool) -> None:
    path = tmp_path / name.decode("utf-8", "surrogateescape")
    try:
        path.touch()
    except OSError:
        pytest.skip("the file system takes no such name")
    with pytest.raises(DataError, match=r"expected names in UTF-8 without control characters; got '(caf\\udce9|a\\nb)"):
        find_photos(str(path if is_named_itself else tmp_path))


@pytest.mark.parametrize(("images", "message"), [("", "has none"), ("*.png", "has none")])
def test_nothing_to_predict_is_said(tmp_path: Path, images: str, message: str) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=message):
        find_photos(str(tmp_path / images))


def test_a_single_object_has_the_photo_s_name() -> None:
    assert [numbered("x", 0, 1), numbered("x", 0, 2), numbered("x", 1, 2), numbered("x", 0, None)] == [
        *("x", "x_0", "x_1", "x_0")
    ]
