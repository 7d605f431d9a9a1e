"""Which files are photos and which their masks, by one rule for names; what is left out is counted."""

import logging
import os
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqsam_lightning.data.catalogue import MissingDataError, Source
from hqsam_lightning.data.inspection import inspect_sources
from hqsam_lightning.data.listing import list_source
from hqsam_lightning.data.names import in_order, is_ending, matching_ending, split_number
from hqsam_lightning.errors import DataError
from hqsam_lightning.seeding import derive_seed

APART = Source("birds", "im", "gt")
TOGETHER = Source("birds", "both")


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def listed(root: Path, source: Source = APART) -> dict[str, tuple[str, list[str]]]:
    """Photo and masks by stem, relative to the source's folders."""
    return {
        pair.stem: (
            pair.photo.name,
            [str(mask.relative_to(root / mask.relative_to(root).parts[0])) for mask in pair.masks],
        )
        for pair in list_source(source, root).pairs
    }


# --- endings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("photo", "mask", "suffix"),
    [
        ("x.jpg", "x_mask.png", "_mask.png"),
        ("p0.jpg", "p0.mask.png", ".mask.png"),
        ("x.JPEG", "x-GT.png", "-gt.PNG"),
        ("x.webp", "x.seg.TIF", ".seg.tif"),
        ("a.b.c.bmp", "a.b.c matte.png", " matte.png"),
        ("x.tiff", "x.jpg", ".jpg"),
    ],
)
def test_a_masks_ending_may_be_any(tmp_path: Path, photo: str, mask: str, suffix: str) -> None:
    touch(tmp_path, f"im/{photo}", f"gt/{mask}")
    stem = photo.rsplit(".", 1)[0]
    assert listed(tmp_path, Source("birds", "im", "gt", mask_suffix=suffix)) == {stem: (photo, [mask])}


def test_the_longest_ending_decides_in_a_shared_folder(tmp_path: Path) -> None:
    touch(tmp_path, "both/a.png", "both/a_mask.png", "both/a_mask_mask.png", "both/b_mask.PNG", "both/b.jpg")
    source = Source("birds", "both", mask_suffix="_mask.png", exclude=())
    assert listed(tmp_path, source) == {"a": ("a.png", ["a_mask.png"]), "b": ("b.jpg", ["b_mask.PNG"])}
    assert list_source(source, tmp_path).strays == ["a_mask_mask.png"]


def test_photos_may_have_a_long_ending_too(tmp_path: Path) -> None:
    touch(tmp_path, "both/a_im.png", "both/a_gt.png", "both/b_im.png", "both/b_gt.png")
    source = Source("birds", "both", image_suffixes=("_im.png",), mask_suffix="_gt.png")
    assert listed(tmp_path, source) == {"a": ("a_im.png", ["a_gt.png"]), "b": ("b_im.png", ["b_gt.png"])}


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (".png", True), ("_mask.png", True), (".mask.png", True), ("-gt.PNG", True), (" x.tif", True), ("..png", True),
        ("png", False), (".", False), ("", False), ("_mask", False), ("a/b.png", False), ("_\0.png", False), (3, False),
    ],
)  # fmt: skip
def test_an_ending_has_a_dot_and_no_folder(value: object, good: bool) -> None:
    assert is_ending(value) is good


@pytest.mark.parametrize(
    ("name", "ending"),
    [("a.png", ".png"), ("a_mask.png", "_mask.png"), ("_mask.png", ".png"), (".png", None), ("İ.PNG", ".png")],
)
def test_the_longest_ending_that_leaves_a_stem(name: str, ending: str | None) -> None:
    assert matching_ending(name, [".png", "_mask.png"]) == ending


def test_the_error_names_a_file_that_the_suffix_misses(tmp_path: Path) -> None:
    touch(tmp_path, "im/p0.jpg", "gt/p0.mask.png")
    message = r"1 of 1 photos have no mask: p0\.jpg; expected .*gt/p0\.png \(there is p0\.mask\.png: does data\.catal"
    assert re.search(message, list_source(APART, tmp_path).unmasked_problem)
    other = list_source(Source("birds", "im", "gt", mask_suffix="_mask.gif"), tmp_path)
    assert re.search(r"expected .*gt/p0_mask\.gif \(there is p0\.mask\.png", other.unmasked_problem)


# --- several masks of a photo ----------------------------------------------------------------------------------------


def test_numbered_masks_are_sorted_by_their_numbers(tmp_path: Path) -> None:
    touch(tmp_path, "im/x.jpg", *(f"gt/x_{number}.png" for number in (0, 1, 2, 10, 11)))
    assert listed(tmp_path) == {"x": ("x.jpg", ["x_0.png", "x_1.png", "x_2.png", "x_10.png", "x_11.png"])}


@pytest.mark.parametrize("suffix", ["_mask.png", ".m.png"])
def test_numbers_stand_before_the_masks_ending(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, "both/x.png", f"both/x_7{suffix}", f"both/x_08{suffix}")
    source = Source("birds", "both", mask_suffix=suffix)
    assert listed(tmp_path, source) == {"x": ("x.png", [f"x_7{suffix}", f"x_08{suffix}"])}


def test_a_folder_per_photo_holds_its_masks(tmp_path: Path) -> None:
    touch(tmp_path, "im/x.jpg", "im/y.jpg", "gt/x/10.png", "gt/x/9.png", "gt/x/cat 2.png", "gt/x/notes.txt", "gt/y.png")
    assert listed(tmp_path) == {
        "x": ("x.jpg", ["x/9.png", "x/10.png", "x/cat 2.png"]),
        "y": ("y.jpg", ["y.png"]),
    }
    touch(tmp_path, "gt/x/.hidden", "gt/x/deeper/1.png")
    listing = list_source(APART, tmp_path)
    assert (listing.other_files, listing.folders, listing.hidden) == (["notes.txt"], ["x/deeper"], 1)


def test_a_photos_own_stem_wins_over_a_number(tmp_path: Path) -> None:
    touch(tmp_path, "im/a.jpg", "im/a_0.jpg", "gt/a.png", "gt/a_0.png")
    assert listed(tmp_path) == {"a": ("a.jpg", ["a.png"]), "a_0": ("a_0.jpg", ["a_0.png"])}
    (tmp_path / "gt/a.png").unlink()
    listing = list_source(APART, tmp_path)
    assert listing.unmasked == [tmp_path / "im/a.jpg"]
    assert "1 of 2 photos have no mask: a.jpg" in listing.unmasked_problem
    touch(tmp_path, "gt/a_1.png")
    assert listed(tmp_path) == {"a": ("a.jpg", ["a_1.png"]), "a_0": ("a_0.jpg", ["a_0.png"])}


@pytest.mark.parametrize(
    "masks", [("gt/a.png", "gt/a_0.png"), ("gt/a.png", "gt/a/0.png"), ("gt/a_3.png", "gt/a/0.png")]
)
def test_two_layouts_of_one_photos_masks_are_refused(tmp_path: Path, masks: tuple[str, str]) -> None:
    touch(tmp_path, "im/a.jpg", *masks)
    with pytest.raises(DataError, match=r"expected the masks of a\.jpg in one layout, got .* and .*; keep the mask of"):
        listed(tmp_path)


@pytest.mark.parametrize(
    ("stem", "expected"),
    [("x_0", ("x", 0)), ("x_y_12", ("x_y", 12)), ("x_007", ("x", 7)), ("x0", None), ("x_", None), ("_1", None)],
)
def test_numbers_of_masks(stem: str, expected: tuple[str, int] | None) -> None:
    assert split_number(stem) == expected


def test_numbers_in_names_sort_as_numbers() -> None:
    names = ["b", "a10", "a9", "9", "10", "a", "²", ""]
    assert sorted(names, key=in_order) == ["", "9", "10", "a", "a9", "a10", "b", "²"]


def test_a_photo_gives_all_its_masks(tmp_path: Path) -> None:
    (tmp_path / "im").mkdir()
    (tmp_path / "gt").mkdir()
    Image.new("RGB", (8, 6)).save(tmp_path / "im/x.jpg")
    planes = [np.full((6, 8), 255, np.uint8), np.zeros((6, 8), np.uint8), np.eye(6, 8, dtype=np.uint8) * 255]
    for number, plane in enumerate(planes):
        Image.fromarray(plane).save(tmp_path / f"gt/x_{number}.png")
    checked = inspect_sources([APART], tmp_path, False, "full")["birds"]
    sample = checked[0]
    np.testing.assert_array_equal(sample.masks, np.stack([planes[0], planes[2]]) / np.float32(255))


# --- names -----------------------------------------------------------------------------------------------------------

UMLAUT, HANGUL, STACKED = "Mönch", "한국", "ệ"


@pytest.mark.parametrize("name", [UMLAUT, HANGUL, STACKED])
@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_names_are_compared_in_composed_unicode(tmp_path: Path, name: str, forms: tuple[str, str]) -> None:
    photo, mask = (unicodedata.normalize(form, name) for form in forms)
    touch(tmp_path, f"im/{photo}.jpg", f"gt/{mask}_1.png", "im/z.jpg", f"gt/z/{mask}.png")
    assert set(listed(tmp_path)) == {unicodedata.normalize("NFC", name), "z"}
    excluding = Source("birds", "im", "gt", exclude=(unicodedata.normalize("NFD", name),))
    assert set(listed(tmp_path, excluding)) == {"z"}


@pytest.mark.parametrize("name", [UMLAUT, HANGUL, STACKED])
def test_names_that_collide_in_composed_unicode_are_refused(tmp_path: Path, name: str) -> None:
    touch(tmp_path, *(f"im/{unicodedata.normalize(form, name)}.jpg" for form in ("NFC", "NFD")), f"gt/{name}.png")
    if len(os.listdir(tmp_path / "im")) < 2:
        pytest.skip("this file system stores one form alone")
    with pytest.raises(DataError, match="two photos share the stem"):
        listed(tmp_path)


BAD_NAMES = [b"caf\xe9", b"\xff\xfe", b"a\nb", b"tab\tbed", b"esc\x1b[31m", "a\u2028b".encode(), b"\x7f"]


@pytest.mark.parametrize("place", ["im/%b.jpg", "gt/%b.png", "gt/x/%b.png"])
@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_cannot_be_written_are_refused_where_they_are_listed(
    tmp_path: Path, name: bytes, place: str
) -> None:
    touch(tmp_path, "im/x.jpg", "im/y.jpg", "gt/y.png", "gt/x/0.png")
    path = os.path.join(os.fsencode(tmp_path), place.encode() % name)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    except OSError:
        pytest.skip("this file system does not store such a name")
    with pytest.raises(DataError, match=r"expected names in UTF-8 without control characters; got 1 other") as caught:
        listed(tmp_path)
    assert str(caught.value).isprintable()
    assert ascii(os.fsdecode(name))[1:-1] in str(caught.value)


@pytest.mark.parametrize("stem", ["cost_$5_$10", "a=b, (c) 'd' [e]{f}", "#1 & <b>", "  x ", "🦜", "a.b..c", "-x", "%s"])
def test_odd_but_sound_names_are_kept(tmp_path: Path, stem: str) -> None:
    touch(tmp_path, f"im/{stem}.jpg", f"gt/{stem}.png")
    assert listed(tmp_path) == {stem: (f"{stem}.jpg", [f"{stem}.png"])}
    derive_seed(0, f"birds/{stem}")


# --- counting --------------------------------------------------------------------------------------------------------


def test_what_is_left_out_is_counted_with_the_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg")
    touch(
        tmp_path, "im/notes.txt", "im/b.heic", "im/c.heic", "im/raw/d.jpg", "im/.hidden.jpg", "gt/e.png", "gt/f_1.png"
    )
    (tmp_path / "a.jpg").rename(tmp_path / "im/a.jpg")
    Image.new("L", (8, 6), 255).save(tmp_path / "gt/a.png")
    with caplog.at_level(logging.INFO):
        inspect_sources([APART], tmp_path, False)
    (record,) = [record for record in caplog.records if "found" in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "birds: photos found: 1, used: 1, mask files: 1; left out: files of other endings: 3 (.heic 2, .txt 1), "
        "subfolders, whose contents are not read: 1 (raw), masks without a photo: 2 (e.png, f_1.png), hidden files: 1"
    )


@pytest.mark.parametrize(("extra", "excluded"), [([], ()), (["im/.DS_Store"], ()), ([], ("b",))])
def test_nothing_lost_is_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, extra: list[str], excluded: tuple[str, ...]
) -> None:
    touch(tmp_path, "im/c", "gt/c", *extra)
    for stem in "abc":
        Image.new("RGB", (8, 6)).save(tmp_path / f"im/{stem}.jpg")
        Image.new("L", (8, 6), 255).save(tmp_path / f"gt/{stem}.png")
    (tmp_path / "im/c").unlink()
    (tmp_path / "gt/c").unlink()
    with caplog.at_level(logging.INFO):
        inspect_sources([Source("birds", "im", "gt", exclude=excluded)], tmp_path, False)
    (record,) = [record for record in caplog.records if "found" in record.getMessage()]
    assert record.levelno == logging.INFO
    assert f"photos found: 3, used: {3 - len(excluded)}" in record.getMessage()


@pytest.mark.parametrize("suffix", [".webp", ".bmp", ".tif", ".TIFF"])
def test_photos_of_every_format_are_found_by_default(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, f"im/a{suffix}", "gt/a.png", "im/b.jpg", "gt/b.png")
    assert len(listed(tmp_path)) == 2


def test_a_folder_without_photos_says_what_it_holds(tmp_path: Path) -> None:
    touch(tmp_path, "im/a.heic", "im/b.heic", "im/c.dng", "gt/a.png")
    with pytest.raises(MissingDataError, match=r"holds no photo \(\.jpg, .*\), but other files \(\.heic 2, \.dng 1\)"):
        listed(tmp_path)


def test_a_folder_of_subfolders_says_that_they_are_not_read(tmp_path: Path) -> None:
    touch(tmp_path, "im/day1/a.jpg", "im/day2/b.jpg", "im/notes.txt", "gt/a.png")
    with pytest.raises(
        MissingDataError, match=r"but other files \(\.txt 1\) and subfolders, which are not read \(day1, day2\); set"
    ):
        listed(tmp_path)


def test_an_excluded_photo_needs_no_mask(tmp_path: Path) -> None:
    touch(tmp_path, "im/a.jpg", "im/b.jpg", "gt/a.png")
    listing = list_source(Source("birds", "im", "gt", exclude=("b",)), tmp_path)
    assert ([pair.stem for pair in listing.pairs], listing.excluded) == (["a"], 1)


@pytest.mark.parametrize(("images", "masks"), [(".", "gt"), ("im", "im/gt"), (".", "deep/down"), ("gt/im", "gt")])
def test_the_sources_other_folder_is_not_left_out(tmp_path: Path, images: str, masks: str) -> None:
    touch(tmp_path, f"{images}/a.jpg", f"{masks}/a.png", f"{images}/old/b.jpg")
    assert list_source(Source("birds", images, masks), tmp_path).folders == ["old"]


def test_excluding_every_photo_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "im/a.jpg", "gt/a.png")
    with pytest.raises(DataError, match=r"data\.catalogue\.birds\.exclude names all 1 photos"):
        list_source(Source("birds", "im", "gt", exclude=("a",)), tmp_path)


def test_photos_and_masks_in_one_folder_are_counted_once(tmp_path: Path) -> None:
    touch(tmp_path, "both/a.jpg", "both/a.png", "both/readme.md", "both/.x", "both/old/z.png")
    listing = list_source(TOGETHER, tmp_path)
    assert (listing.other_files, listing.folders, listing.hidden) == (["readme.md"], ["old"], 1)
