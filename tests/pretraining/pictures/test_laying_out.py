"""Pictures of other packages, as folders of cut-outs and of backgrounds."""

import re
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from hqsam_lightning.errors import DataError
from hqsam_lightning.pretraining.pictures import laying_out
from hqsam_lightning.pretraining.pictures.laying_out import LISTS, copy_pictures, listed, render_pictures


def small_lists(monkeypatch, **lists: list[str]) -> None:
    monkeypatch.setattr(laying_out, "listed", lists.__getitem__)


def test_every_listed_package_is_documented_and_fetched_in_its_version():
    packages = {line.split("/")[0] for name in ("fluent", "openclipart", "photos") for line in listed(name)}
    documented = re.findall(
        r"^\| `\w+\.txt` \| (?:npm @lobehub/|Debian )(\S+) (\S+) \|", (LISTS / "README.md").read_text(), re.M
    )
    assert packages < {name for name, _ in documented}
    makefile = (Path(__file__).parents[3] / "Makefile").read_text()
    for name, version in documented:
        assert f"{name}={version}" in makefile or f"{name}@{version}" in makefile


def test_pictures_are_called_after_their_folder(tmp_path, monkeypatch):
    small_lists(monkeypatch, fluent=["f/assets/a.webp"], openclipart=["o/fish/a.png", "o/bird/a.png"], photos=[])
    for line in ("f/assets/a.webp", "o/fish/a.png", "o/bird/a.png"):
        (tmp_path / line).parent.mkdir(parents=True)
        (tmp_path / line).write_bytes(line.encode())
    copy_pictures(tmp_path, tmp_path / "out")
    assert (tmp_path / "out/cutouts/openclipart/bird_a.png").read_bytes() == b"o/bird/a.png"
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 3


def test_a_missing_picture_is_named_before_anything_is_copied(tmp_path, monkeypatch):
    small_lists(monkeypatch, fluent=["f/assets/a.webp"], openclipart=[], photos=[])
    with pytest.raises(DataError, match=r"1 are missing, e\.g\. .*a\.webp"):
        copy_pictures(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def catalogue(folder: Path) -> None:
    """Two models, listed in the order of their numbers, not of their lines."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "Things.sh3f", "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", "model#10=/t/my chair.obj\nmodel#2=/t/table.obj\n")
        archive.writestr("t/table.obj", "")
        archive.writestr("t/my chair.obj", "")


def test_listed_views_are_rendered_each_with_its_models_number(tmp_path, monkeypatch):
    catalogue(tmp_path / laying_out.CATALOGUES)
    small_lists(monkeypatch, rendered=["000_table_0.webp", "001_my_chair_1.webp"])
    calls = []

    def render(model, rng):
        calls.append(model.name)
        for view in range(2):
            yield view, Image.new("RGBA", (8, 8), (int(rng.integers(256)), 0, 0, 255))

    for _ in range(2):  # the second time everything is there
        render_pictures(tmp_path, tmp_path / "out", render)
    assert calls == ["table.obj", "my chair.obj"]
    names = sorted(path.name for path in (tmp_path / "out/cutouts/rendered").iterdir())
    assert names == ["rendered_000_table_0.webp", "rendered_001_my_chair_1.webp"]


def test_a_listed_view_that_no_model_gives_is_an_error(tmp_path, monkeypatch):
    catalogue(tmp_path / laying_out.CATALOGUES)
    small_lists(monkeypatch, rendered=["000_table_0.webp"])
    with pytest.raises(DataError, match="1 are missing"):
        render_pictures(tmp_path, tmp_path / "out", lambda model, rng: iter(()))
