"""What a run left is embedded only where it is a sound PNG file of its own; a plot that fails is a warning."""

import io
import os
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure
from PIL import Image

from hqsam_lightning.reporting import pictures
from hqsam_lightning.reporting.pictures import draw_picture, plot_label, read_picture


def write_png(path: Path, size: tuple[int, int] = (8, 6)) -> Path:
    Image.new("RGB", size, "red").save(path, "PNG")
    return path


def test_a_sound_picture_is_read(tmp_path: Path) -> None:
    path = write_png(tmp_path / "results.png")
    assert read_picture(path) == path.read_bytes()


def test_an_absent_picture_is_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_picture(tmp_path / "results.png") is None
    assert not caplog.records


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "text", "jpeg", "cut", "empty", "bits"])
def test_what_is_no_picture_is_left_out(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    path, sound = tmp_path / "results.png", write_png(tmp_path / "sound.png", (64, 64))
    content = sound.read_bytes()
    make = {
        "link": lambda: path.symlink_to(sound),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "text": lambda: shutil.copy(__file__, path),
        "jpeg": lambda: Image.new("RGB", (8, 6)).save(path, "JPEG"),
        "cut": lambda: path.write_bytes(content[:50]),
        "empty": lambda: path.write_bytes(b""),
        "bits": lambda: path.write_bytes(content[:60] + bytes([content[60] ^ 1]) + content[61:]),
    }
    make[kind]()
    assert read_picture(path) is None
    assert f"{path}: expected a picture (PNG), left out" in caplog.text


def test_a_picture_that_is_too_large_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_png(tmp_path / "results.png")
    monkeypatch.setattr(pictures, "LARGEST_BYTES", 10)
    assert read_picture(path) is None
    monkeypatch.setattr(pictures, "LARGEST_BYTES", 10_000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    assert read_picture(path) is None, "many pixels in few bytes"
    assert caplog.text.count("left out of the report") == 2


def test_a_plot_that_fails_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Figure:
        raise ZeroDivisionError("no size")

    assert draw_picture("sweep.png", fail) is None
    assert draw_picture("recall.png", lambda: Figure(figsize=(1000, 1000))) is None
    assert "sweep.png, a plot of the report, failed (ZeroDivisionError: no size)" in caplog.text
    assert "recall.png, a plot of the report, failed" in caplog.text


@pytest.mark.parametrize("text", ["$a_{", "$5_$10", "\\$", "\\frac", "_a", "\ud800", "a\nb", "%d {x}", "y" * 500])
def test_labels_are_shown_as_text(text: str) -> None:
    figure = Figure()
    axis = figure.subplots()
    label = plot_label(text)
    axis.plot([0, 1], [0, 1], label=label)
    axis.set_title(label)
    (shown,) = axis.legend().get_texts()
    figure.savefig(io.BytesIO())
    _, is_mathematics = shown._preprocess_math(shown.get_text())
    assert is_mathematics is False
    assert plt.get_fignums() == [], "nothing is kept by pyplot"
