import sys

import numpy as np
import pytest
from PIL import Image

from hqsam_lightning import scenes


def run(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["scenes", *arguments])
    scenes.main()


def test_command_writes_a_sheet_where_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(monkeypatch, "file=new/sheet.png", "rows=1", "columns=2", "percent=50", "data.image_size=64", "data.val_size=2")
    sheet = np.asarray(Image.open(tmp_path / "new" / "sheet.png"))
    assert sheet.shape == (32, 2 * 3 * 32, 3)
    assert sheet.std() > 10
    assert "2 scenes in new/sheet.png" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("file=sheet.xyz", "file: expected a picture's name"),
        ("percent=0", "percent: expected an integer from 1 to 1000"),
        ("file=/proc/sheet.jpg", "/proc/sheet.jpg: cannot be written"),
    ],
)
def test_a_picture_that_cannot_be_written(tmp_path, monkeypatch, capsys, override, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run(monkeypatch, override)
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not list(tmp_path.iterdir())


def test_too_many_scenes_end_with_one_message(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "rows=9", "columns=9", "data.val_size=3")
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith("error: rows, columns: expected 1 to 3 scenes; got 9 x 9")
    assert not list(tmp_path.iterdir())
