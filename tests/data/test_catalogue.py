"""The catalogue's sources, their pairs of files, and the one error that names every problem."""

import logging
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from hqsam_lightning.data.catalogue import MissingDataError, Source, source_from_config
from hqsam_lightning.data.inspection import inspect_sources
from hqsam_lightning.data.listing import Pair, list_source
from hqsam_lightning.errors import ConfigError, DataError

CONF = Path(__file__).parents[2] / "conf" / "source"
TRAINING = ["dis5k_tr", "thinobject5k_tr", "fss_1000", "duts_tr", "duts_te", "ecssd", "msra10k"]
VALIDATION = ["dis_vd", "coift", "hrsod", "thinobject5k_te"]


@pytest.fixture
def data_dir(shared_data: Path) -> Path:
    return shared_data / "hqseg44k"


def _photo(path: Path, size: tuple[int, int] = (8, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (10, 20, 30)).save(path)
    return path


def _mask(path: Path, size: tuple[int, int] = (8, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, 255).save(path)
    return path


def _folder(root: Path, stems: str, images: str = "im", masks: str = "gt") -> None:
    for stem in stems:
        _photo(root / images / f"{stem}.jpg")
        _mask(root / masks / f"{stem}.png")


def list_pairs(source: Source, data_dir: Path) -> list[Pair]:
    return list_source(source, data_dir).pairs


@pytest.fixture
def source() -> Source:
    return Source("tiny", "im", "gt")


# --- sources of a config ---------------------------------------------------------------------------------------------


def test_source_from_config_takes_lists_for_tuples() -> None:
    source = source_from_config("tiny", {"images": "im", "image_suffixes": [".JPG"], "weight": 2})
    assert source == Source("tiny", "im", image_suffixes=(".JPG",), weight=2)


def test_unknown_keys_are_named_with_the_known_ones() -> None:
    known = ", ".join(field.name for field in fields(Source) if field.name != "name")
    with pytest.raises(
        ConfigError, match=rf"^data\.catalogue\.tiny\.mask_sufix: unknown key; expected one of {known}$"
    ):
        source_from_config("tiny", {"images": "im", "mask_sufix": ".png"})


def test_the_name_is_no_key_of_a_source() -> None:
    with pytest.raises(ConfigError, match=r"data\.catalogue\.tiny\.name: unknown key"):
        source_from_config("tiny", {"images": "im", "name": "other"})


def test_the_folder_of_photos_is_required() -> None:
    with pytest.raises(ConfigError, match=r"data\.catalogue\.tiny\.images: expected the folder .* the key is missing"):
        source_from_config("tiny", {"masks": "gt"})


def test_an_entry_that_is_no_mapping_is_refused() -> None:
    values: Any = "cascade_psp/ecssd"
    with pytest.raises(ConfigError, match=r"data\.catalogue\.tiny: expected a mapping .* got 'cascade_psp/ecssd'"):
        source_from_config("tiny", values)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("images", "", "a path"),
        ("images", None, "a path"),
        ("masks", "", "a path"),
        ("image_suffixes", [], "a list of endings with their dot"),
        ("image_suffixes", ".jpg", "a list of endings with their dot"),
        ("image_suffixes", ["jpg"], "a list of endings with their dot"),
        ("image_suffixes", [3], "a list of endings with their dot"),
        ("mask_suffix", "png", "an ending with its dot"),
        ("mask_suffix", ".", "an ending with its dot"),
        ("mask_suffix", None, "an ending with its dot"),
        ("mask_suffix", "gt/_mask.png", "an ending with its dot"),
        ("mask_suffix", "_mask.", "an ending with its dot"),
        ("max_masks", 0, "an integer >= 1"),
        ("max_masks", 1.5, "an integer >= 1"),
        ("expected", 0, "an integer >= 1"),
        ("expected", 2.5, "an integer >= 1"),
        ("expected", True, "an integer >= 1"),
        ("weight", 0, r"a number in \(0, 1000\]"),
        ("weight", -1.0, r"a number in \(0, 1000\]"),
        ("weight", float("nan"), r"a number in \(0, 1000\]"),
        ("weight", float("inf"), r"a number in \(0, 1000\]"),
        ("weight", "1", r"a number in \(0, 1000\]"),
        ("weight", True, r"a number in \(0, 1000\]"),
        ("title", None, "text"),
        ("note", 3, "text"),
    ],
)
def test_values_that_cannot_work_are_named(field: str, value: object, expected: str) -> None:
    with pytest.raises(ConfigError, match=rf"^data\.catalogue\.tiny\.{field}: expected {expected}.*; got "):
        source_from_config("tiny", {"images": "im", field: value})


# --- pairs of files --------------------------------------------------------------------------------------------------


def test_pairs_are_sorted_by_name(tmp_path: Path, source: Source) -> None:
    _folder(tmp_path, "cab")
    expected = [(tmp_path / "im" / f"{stem}.jpg", (tmp_path / "gt" / f"{stem}.png",), stem) for stem in "abc"]
    assert list_pairs(source, tmp_path) == expected


def test_photos_and_masks_may_share_a_folder(tmp_path: Path) -> None:
    _folder(tmp_path, "ab", images="both", masks="both")
    pairs = list_pairs(Source("tiny", "both"), tmp_path)
    assert [(photo.name, mask.name) for photo, (mask,), _ in pairs] == [("a.jpg", "a.png"), ("b.jpg", "b.png")]


def test_absolute_and_home_folders_leave_data_dir_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    _folder(tmp_path, "a")
    _folder(tmp_path / "data", "b", masks="im")
    (pair,) = list_pairs(Source("tiny", "~/im", str(tmp_path / "gt")), Path("/elsewhere"))
    assert (pair.photo, *pair.masks) == (tmp_path / "im/a.jpg", tmp_path / "gt/a.png")
    (pair,) = list_pairs(Source("tiny", "im"), Path("~/data"))
    assert (pair.photo, *pair.masks) == (tmp_path / "data/im/b.jpg", tmp_path / "data/im/b.png")


def test_suffixes_match_in_any_case_and_hidden_files_are_left_out(tmp_path: Path, source: Source) -> None:
    _photo(tmp_path / "im/a.JPG")
    _mask(tmp_path / "gt/a.PNG")
    (tmp_path / "im/._a.jpg").touch()
    (tmp_path / "im/Thumbs.db").touch()
    (tmp_path / "im/folder.jpg").mkdir()
    assert list_pairs(source, tmp_path) == [Pair.of(tmp_path / "im/a.JPG", tmp_path / "gt/a.PNG")]


def test_png_photos_beside_png_masks_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "a_mask.png", "b.png"):
        _mask(tmp_path / "both" / name)
    message = (
        r"tiny: 3 \.png files in .*both could be photos or masks, e\.g\. a\.png, .*; move the masks to a folder of "
        r"their own and set data\.catalogue\.tiny\.masks, or take \.png out of data\.catalogue\.tiny\.image_suffixes"
    )
    for masks in (None, "both", "both/../both"):
        with pytest.raises(DataError, match=message):
            list_pairs(Source("tiny", "both", masks), tmp_path)


def test_photos_without_a_mask_are_counted_and_named(tmp_path: Path, source: Source) -> None:
    _folder(tmp_path, "a")
    for stem in "bcde":
        _photo(tmp_path / "im" / f"{stem}.jpg")
    message = r"tiny: 4 of 5 photos have no mask: b\.jpg, c\.jpg, d\.jpg, \.\.\.; expected .*gt/b\.png; add the masks"
    listing = list_source(source, tmp_path)
    assert re.match(message, listing.unmasked_problem)
    assert [pair.stem for pair in listing.pairs] == ["a"]


def test_two_photos_of_one_stem_are_refused(tmp_path: Path, source: Source) -> None:
    _folder(tmp_path, "a")
    _photo(tmp_path / "im/a.jpeg")
    with pytest.raises(DataError, match=r"tiny: two photos share the stem 'a' in .*im: a\.jpeg and a\.jpg; rename"):
        list_pairs(source, tmp_path)


def test_two_masks_of_one_stem_are_refused(tmp_path: Path, source: Source) -> None:
    _folder(tmp_path, "a")
    _mask(tmp_path / "gt/a.PNG")
    with pytest.raises(DataError, match=r"tiny: two masks share the stem 'a' in .*gt: a\.PNG and a\.png; rename"):
        list_pairs(source, tmp_path)


@pytest.mark.parametrize("absent", ["im", "gt"])
def test_absent_folders_say_where_the_set_is_from(tmp_path: Path, absent: str) -> None:
    (tmp_path / ({"im", "gt"} - {absent}).pop()).mkdir()
    source = Source("tiny", "im", "gt", title="Tiny", paper="A. Author 2020", note="From example.org")
    message = (
        rf"folder .*{absent} does not exist; set paths.data_dir, or download the set \(Tiny; A\. Author 2020; From"
    )
    with pytest.raises(MissingDataError, match=message):
        list_pairs(source, tmp_path)


def test_a_folder_without_photos_is_missing_data(tmp_path: Path, source: Source) -> None:
    _mask(tmp_path / "gt/a.png")
    (tmp_path / "im").mkdir()
    with pytest.raises(MissingDataError, match=r"tiny: folder .*im holds no photo \(\.jpg, .*, \.tiff\); set paths"):
        list_pairs(source, tmp_path)


# --- inspection ------------------------------------------------------------------------------------------------------


def test_inspection_gives_the_pairs_of_every_source(tmp_path: Path) -> None:
    _folder(tmp_path / "one", "ab")
    _folder(tmp_path / "two", "c")
    sources = [Source("one", "one/im", "one/gt", expected=2), Source("two", "two/im", "two/gt")]
    for check in ("quick", "full"):
        found = inspect_sources(sources, tmp_path, allow_missing=False, check=check)
        assert {name: checked.photos for name, checked in found.items()} == {
            source.name: list_pairs(source, tmp_path) for source in sources
        }


def test_excluded_photos_are_left_out_but_counted(tmp_path: Path, source: Source) -> None:
    _folder(tmp_path, "abc")
    short = replace(source, exclude=("b",), expected=3)
    checked = inspect_sources([short], tmp_path, allow_missing=False)
    assert [pair.stem for pair in checked[source.name].photos] == ["a", "c"]
    unknown = replace(source, exclude=("z",))
    with pytest.raises(DataError, match=r"exclude names 'z', which no photo"):
        inspect_sources([unknown], tmp_path, allow_missing=False)


def test_an_unknown_check_is_refused(tmp_path: Path, source: Source) -> None:
    with pytest.raises(ConfigError, match=r"data\.check: expected one of quick, full; got 'slow'"):
        inspect_sources([source], tmp_path, allow_missing=False, check="slow")


def _break_everything(root: Path) -> list[Source]:
    """A source for each problem, and a good one."""
    for name in ("good", "few", "unmasked", "hollow", "size"):
        _folder(root / name, "ab")
    (root / "empty/im").mkdir(parents=True)
    (root / "empty/gt").mkdir()
    (root / "unmasked/gt/b.png").unlink()
    (root / "hollow/im/a.jpg").write_bytes(b"")
    (root / "hollow/gt/a.png").write_bytes(b"")
    _mask(root / "size/gt/b.png", (4, 4))
    names = ("absent", "empty", "few", "unmasked", "hollow", "size", "good")
    return [Source(name, f"{name}/im", f"{name}/gt", expected=5 if name == "few" else None) for name in names]


@pytest.mark.parametrize("check", ["quick", "full"])
def test_one_error_names_every_problem_with_its_remedy(tmp_path: Path, check: str) -> None:
    with pytest.raises(DataError, match=r"\(paths\.data_dir\): 7") as caught:
        inspect_sources(_break_everything(tmp_path), tmp_path, allow_missing=False, check=check)
    lines = str(caught.value).split("\n")
    assert len(lines) == 8
    for line, (begin, remedy) in zip(
        lines[1:],
        [
            ("absent: images folder", "data.allow_missing=true"),
            ("empty: folder", "data.allow_missing=true"),
            ("few: expected 5 pairs, found 2", "data.catalogue.few.expected=2"),
            ("unmasked: 1 of 2 photos have no mask: b.jpg", "add the masks"),
            ("hollow: expected an image file of format JPEG", "got an empty file (0 bytes)"),
            ("hollow: expected an image file of format JPEG", "got an empty file (0 bytes)"),
            ("size: expected a mask of its photo's size", "make the mask anew"),
        ],
        strict=True,
    ):
        assert line.startswith(f"  - {begin}")
        assert remedy in line


def test_allow_missing_forgives_gaps_but_no_damage(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\(paths\.data_dir\): 4\n") as caught:
        inspect_sources(_break_everything(tmp_path), tmp_path, allow_missing=True)
    for name in ("absent", "empty", "few"):
        assert f"- {name}:" not in str(caught.value)


def test_allow_missing_warns_once_and_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sources = [source for source in _break_everything(tmp_path) if source.name in ("absent", "empty", "few", "good")]
    with caplog.at_level(logging.WARNING):
        found = inspect_sources(sources, tmp_path, allow_missing=True)
    assert {name: len(checked) for name, checked in found.items()} == {"few": 2, "good": 2}
    record = caplog.records[-1]
    for name in ("absent", "empty", "few"):
        assert f"- {name}: " in record.getMessage()
    # an evaluation's sets have other keys, and the one that forgives is set
    assert "data.allow_missing" not in record.getMessage()
    assert "data.catalogue" not in record.getMessage()


def test_nothing_left_is_an_error(tmp_path: Path, source: Source) -> None:
    with pytest.raises(DataError, match=r"no pair of photo and mask is left in .*\n  - tiny: images folder"):
        inspect_sources([source], tmp_path, allow_missing=True)


def test_quick_compares_sizes_after_exif_orientation(tmp_path: Path, source: Source) -> None:
    _folder(tmp_path, "a")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 8)).save(tmp_path / "im/a.jpg", exif=exif)
    assert len(inspect_sources([source], tmp_path, allow_missing=False)["tiny"]) == 1
    Image.new("RGB", (8, 6)).save(tmp_path / "im/a.jpg", exif=exif)
    with pytest.raises(DataError, match=r"tiny: .*width x height 6x8 in .*a\.jpg and 8x6 in .*a\.png"):
        inspect_sources([source], tmp_path, allow_missing=False)


def _cut(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-40])


def _blacken(path: Path) -> None:
    Image.new("L", (8, 6), 0).save(path)


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [("im/a.jpg", _cut, r"cannot read .*a\.jpg: .*truncated"), ("gt/a.png", _blacken, r"empty mask: .*a\.png")],
)
def test_full_finds_what_headers_hide(
    tmp_path: Path, source: Source, file: str, damage: Callable[[Path], None], message: str
) -> None:
    _folder(tmp_path, "ab")
    damage(tmp_path / file)
    assert len(inspect_sources([source], tmp_path, allow_missing=False)["tiny"]) == 2
    with pytest.raises(DataError, match=rf"\(paths\.data_dir\): 1\n  - tiny: .*{message}"):
        inspect_sources([source], tmp_path, allow_missing=False, check="full")


def test_a_link_to_nowhere_is_damage(tmp_path: Path, source: Source) -> None:
    _folder(tmp_path, "a")
    (tmp_path / "im/b.jpg").symlink_to(tmp_path / "gone.jpg")
    _mask(tmp_path / "gt/b.png")
    with pytest.raises(DataError, match=r"tiny: .*b\.jpg: expected a file, cannot find it"):
        inspect_sources([source], tmp_path, allow_missing=False)


# --- the shipped catalogue -------------------------------------------------------------------------------------------


def _shipped() -> dict[str, Source]:
    catalogue = {}
    for path in sorted(CONF.glob("*.yaml")):
        values: Any = OmegaConf.to_container(OmegaConf.load(path))
        catalogue[path.stem] = source_from_config(path.stem, values)
    return catalogue


def test_every_shipped_source_loads_and_says_where_it_is_from() -> None:
    catalogue = _shipped()
    assert sorted(catalogue) == sorted([*TRAINING, *VALIDATION, "dut_omron"])
    for path in CONF.glob("*.yaml"):
        assert path.read_text().startswith("# ")
        assert not set(OmegaConf.load(path)) ^ {field.name for field in fields(Source)} - {"name"}
    for source in catalogue.values():
        assert all((source.title, source.paper, source.license, source.terms, source.note))


def test_the_training_sources_are_hqseg_44k() -> None:
    catalogue = _shipped()
    counts = {name: catalogue[name].expected for name in TRAINING}
    assert counts["duts_tr"] + counts["duts_te"] == 15572
    assert sum(counts.values()) == 44320
    assert catalogue["dut_omron"].expected == 5168


def test_a_missing_folder_of_the_only_source_is_not_to_be_left_out(tmp_path: Path, source: Source) -> None:
    with pytest.raises(DataError, match=r"set paths\.data_dir.*, or data\.catalogue\.tiny\.images and \.masks$"):
        inspect_sources([source], tmp_path, allow_missing=False)


def test_all_missing_sets_are_named_in_one_error(tmp_path: Path) -> None:
    catalogue = _shipped()
    with pytest.raises(DataError, match="download the set") as caught:
        inspect_sources(list(catalogue.values()), tmp_path, allow_missing=False)
    lines = str(caught.value).split("\n  - ")
    assert [line.split(":")[0] for line in lines[1:]] == list(catalogue)
    assert "sam-hq-training" in lines[1]


@pytest.mark.parametrize("check", ["quick", "full"])
def test_the_900_pairs_of_ecssd_pass_when_a_part_is_allowed(data_dir: Path, check: str) -> None:
    found = inspect_sources([_shipped()["ecssd"]], data_dir, allow_missing=True, check=check)
    assert len(found["ecssd"]) == 900


def test_the_900_pairs_of_ecssd_are_refused_as_the_whole_set(data_dir: Path) -> None:
    with pytest.raises(DataError, match="ecssd: expected 1000 pairs, found 900 in cascade_psp/ecssd"):
        inspect_sources([_shipped()["ecssd"]], data_dir, allow_missing=False)
