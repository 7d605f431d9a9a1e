"""Sets are downloaded from a server that speaks as the Hub does, and unpacked into the catalogue's layout."""

import io
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from hqsam_lightning.config import conf_dir
from hqsam_lightning.data.__main__ import download
from hqsam_lightning.data.unpacking import choose_members, unpack
from hqsam_lightning.errors import ConfigError, DataError
from hub_server import COMMIT, Hub, serving
from mask_pictures import disc

REPOSITORY = "org/sets"
DIS = "data/DIS5K.zip"
VALIDATION = "sources=[dis_vd,coift]"


def picture(pixels: np.ndarray, kind: str) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


PHOTO = picture(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), "JPEG")
MASK = picture(disc() * np.uint8(255), "PNG")


def packed(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, PHOTO if name.endswith(".jpg") else MASK)
    return content.getvalue()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The release in small: one archive whose entries begin with its name, one whose entries do not."""
    dis = [f"DIS5K/{part}/{kind}" for part in ("DIS-VD", "DIS-TE1") for kind in ("im/a.jpg", "gt/a.png")]
    thin = [f"COIFT/{kind}" for kind in ("images/x.jpg", "masks/x.png", "images/y.jpg", "masks/y.png")]
    # between the attempts of one download
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    with serving(monkeypatch) as server:
        server.repositories[REPOSITORY] = {
            DIS: packed(*dis, "DIS5K/Terms of Use.pdf", "__MACOSX/DIS5K/DIS-VD/im/._a.jpg"),
            "data/thin_object_detection.zip": packed(*thin),
            "pretrained/model.pth": b"weights",
        }
        yield server


def run(folder: Path, *overrides: str) -> dict[str, int]:
    given = [f"paths.data_dir={folder}", f"repository={REPOSITORY}", *overrides]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return download(compose("data_download", overrides=given))


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


UNPACKED = [
    "DIS5K/DIS-VD/gt/a.png",
    "DIS5K/DIS-VD/im/a.jpg",
    "DIS5K/Terms of Use.pdf",
    "downloads.json",
    *(f"thin_object_detection/COIFT/{kind}" for kind in ("images/x.jpg", "images/y.jpg", "masks/x.png", "masks/y.png")),
]


def test_sets_are_unpacked_where_the_catalogue_expects_them(
    hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert run(tmp_path / "data", VALIDATION) == {"dis_vd": 3, "coift": 4}
    assert files_in(tmp_path / "data") == UNPACKED
    assert (tmp_path / "data/DIS5K/DIS-VD/im/a.jpg").read_bytes() == PHOTO
    assert f"revision main is commit {COMMIT}" in caplog.text
    assert "license LicenseRef-DIS5K-Terms-of-Use. DIS5K Dataset Terms of Use (a PDF" in caplog.text


def test_what_is_there_is_not_downloaded_again(hub: Hub, tmp_path: Path) -> None:
    run(tmp_path / "data", VALIDATION)
    hub.ranges.clear()
    assert run(tmp_path / "data", VALIDATION) == {}
    assert hub.ranges == []
    hub.repositories[REPOSITORY][DIS] = packed("DIS5K/DIS-VD/im/a.jpg", "DIS5K/DIS-VD/im/b.jpg")
    assert run(tmp_path / "data", VALIDATION) == {"dis_vd": 1}, "another archive has another file"
    assert len(hub.ranges) == 1


def test_an_interrupted_download_goes_on_where_it_was(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # huggingface_hub writes whole chunks
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 64)
    hub.cut_after = 100
    chosen = (tmp_path / "data", "sources=[dis_vd]", "keep_archives=true")
    with pytest.raises(DataError, match=r"org/sets/data/DIS5K\.zip: the Hugging Face Hub did not give"):
        _fail_after(hub, 3, chosen)
    (partial,) = (tmp_path / "data/archives").glob(".*.part")
    arrived = partial.stat().st_size
    assert arrived >= 64
    hub.cut_after = None
    hub.ranges.clear()
    run(*chosen)
    assert hub.ranges == [f"bytes={arrived}-"]
    assert (tmp_path / "data/archives/DIS5K.zip").read_bytes() == hub.repositories[REPOSITORY][DIS]


def _fail_after(hub: Hub, files: int, chosen: tuple[Path, ...]) -> None:
    """Runs a download whose connections break, and which then breaks before the first byte."""

    class Ranges(list):
        def append(self, asked: str | None) -> None:
            super().append(asked)
            if len(self) == files:
                hub.cut_after = 0

    hub.ranges = Ranges()
    try:
        run(*chosen)
    finally:
        hub.ranges = []


def test_a_damaged_file_is_refused_and_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.damaged.add(DIS)
    with pytest.raises(DataError, match=r"expected SHA-256 [0-9a-f]{64}, as the Hub says of data/DIS5K\.zip; got "):
        run(tmp_path / "data", "sources=[dis_vd]")
    assert files_in(tmp_path / "data") == []
    hub.damaged.clear()
    assert run(tmp_path / "data", "sources=[dis_vd]") == {"dis_vd": 3}


def test_files_of_a_user_are_never_replaced(hub: Hub, tmp_path: Path) -> None:
    own = tmp_path / "data/DIS5K/DIS-VD/im/a.jpg"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    with pytest.raises(DataError, match=r"nothing was unpacked; move these files away.*\n  - .*im/a\.jpg: differs"):
        run(tmp_path / "data", "sources=[dis_vd]")
    assert own.read_bytes() == b"mine"
    own.write_bytes(PHOTO)
    assert run(tmp_path / "data", "sources=[dis_vd]") == {"dis_vd": 2}


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["sources=[dis_vd,cofit]"], ConfigError, r"sources: expected one of coift, .*; got 'cofit'"),
        (["sources=[dut_omron]"], ConfigError, r"got 'dut_omron', which is not in it: Not in the HQSeg-44K release"),
        (["sources=[ecssd]"], ConfigError, r"expected one cascade_psp\.zip in data, which ecssd is in; got data/DIS5K"),
        (["sources=[hrsod]"], DataError, r"expected photos in thin_object_detection/HRSOD/images, got none"),
        (["repository=org/none"], DataError, r"org/none, revision main: the Hugging Face Hub did not give"),
        (["data=coco"], ConfigError, r"data: expected a config with a catalogue"),
    ],
)
def test_what_is_not_there_is_named(hub: Hub, tmp_path: Path, overrides: list[str], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        run(tmp_path / "data", *overrides)


def test_the_disk_needs_room_before_the_first_byte(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=5))
    with pytest.raises(DataError, match=r"paths\.data_dir=.*: expected 0\.0 GB of free space .*; make room, choose"):
        run(tmp_path / "data", "sources=[dis_vd]")
    assert hub.ranges == []


# --- archives that no honest person packs ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../a.jpg", "/etc/a.jpg", "top/im/../../../a.jpg", "top\\im\\a.jpg", "C:/a.jpg", "top/im/a\n.jpg"],
)
def test_no_path_leaves_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "top.zip").write_bytes(packed("top/im/a.jpg", name))
    with pytest.raises(DataError, match="expected a path of text inside of the archive's folder"):
        choose_members(tmp_path / "top.zip", "top", ["top/im"])


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("top/im/a.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "top.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match=r"'top/im/a\.jpg': expected a regular file, got a link"):
        choose_members(tmp_path / "top.zip", "top", ["top/im"])


def test_bombs_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "top.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("top/im/a.jpg", bytes(10**6))
    with pytest.raises(DataError, match=r"expected at most \d+ bytes when unpacked \(20 times .*\), got 1000000"):
        choose_members(tmp_path / "top.zip", "top", ["top/im"])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_place_are_refused(tmp_path: Path) -> None:
    (tmp_path / "top.zip").write_bytes(packed("top/im/a.jpg", "im/a.jpg"))
    with pytest.raises(DataError, match=r"'top/im/a\.jpg': expected one entry, got 2"):
        choose_members(tmp_path / "top.zip", "top", ["top/im"])


def test_a_damaged_member_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "top.zip").write_bytes(packed("top/im/a.jpg", "top/im/b.jpg"))
    content = bytearray((tmp_path / "top.zip").read_bytes())
    content[content.rindex(PHOTO) + 50] ^= 1
    (tmp_path / "top.zip").write_bytes(content)
    members, others = choose_members(tmp_path / "top.zip", "top", ["top/im"])
    assert (len(members), others) == (2, 0)
    with pytest.raises(DataError, match=r"top\.zip: expected a whole zip archive, .*BadZipFile: Bad CRC-32"):
        unpack(tmp_path / "top.zip", members, tmp_path / "data")
    assert files_in(tmp_path / "data") == ["top/im/a.jpg"]


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all"])
def test_what_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "top.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"top\.zip: expected a whole zip archive"):
        choose_members(tmp_path / "top.zip", "top", ["top/im"])
