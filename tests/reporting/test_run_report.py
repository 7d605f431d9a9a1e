"""Results are on the disk before anything that may fail, whose failure is a warning."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqsam_lightning.data.datasets import PhotoPairs
from hqsam_lightning.errors import DataError
from hqsam_lightning.reporting import run_report
from hqsam_lightning.train import train
from hqsam_lightning.types import Sample
from patience import PATIENCE

NAMES = ("cost_$5_$10", "[red]b[x]", "a_b$")
TINY = (
    *("sam=tiny_random", "trainer=cpu", "trainer.max_epochs=1", "batch.total=2", "loader.num_workers=0"),
    *("loss.num_points=64", "trainer.num_sanity_val_steps=0", "data=folder", "data.holdout=2"),
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    mask = np.zeros((48, 64), np.uint8)
    mask[8:40, 8:50] = 255
    for name in (*NAMES, "zz"):
        for folder, pixels, suffix in (("images", noise, "jpg"), ("masks", mask, "png")):
            (tmp_path / "photos" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "photos" / folder / f"{name}.{suffix}")
    return tmp_path / "photos"


def test_names_with_markup_end_in_results_and_a_picture(make_config, tmp_path: Path, photos: Path) -> None:
    means = train(make_config(*TINY, f"paths.data_dir={photos}"))[0]
    assert len(means)
    folder = tmp_path / "run"
    assert (folder / "results.png").read_bytes().startswith(b"\x89PNG")
    assert "](results.png)" in (folder / "results.md").read_text()
    assert any(name in (folder / "scores.csv").read_text() for name in NAMES)


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        ("save_panels", ValueError("mathtext")),
        ("log_results", MemoryError()),
        ("write_tables", OSError(28, "No space left on device")),
    ],
)
def test_a_decoration_that_fails_is_a_warning(
    make_config,
    tmp_path: Path,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failing: str,
    error: Exception,
) -> None:
    there = []

    def fail(*arguments: object) -> None:
        there.extend(sorted(path.name for path in (tmp_path / "run").iterdir()))
        raise error

    monkeypatch.setattr(run_report, failing, fail)
    means = train(make_config(*TINY, f"paths.data_dir={photos}"))[0]
    assert len(means)
    assert {"metrics.json", "scores.csv", "results.md"} <= set(there)
    assert f"failed ({type(error).__name__}" in caplog.text


@pytest.mark.parametrize(("fate", "message"), [("SIGKILL", "loader: .*reading"), ("SIGSTOP", r"loader\.timeout")])
def test_a_run_whose_loading_process_ends_or_stops_names_the_photo(
    make_config, photos: Path, monkeypatch: pytest.MonkeyPatch, fate: str, message: str
) -> None:
    main, read = os.getpid(), PhotoPairs.__getitem__
    met: list[int] = []

    def meet(self: PhotoPairs, index: int) -> Sample:
        # once: a process that is stopped again, after it was continued to end, would never end
        if os.getpid() != main and not met:
            met.append(index)
            os.kill(os.getpid(), getattr(signal, fate))
        return read(self, index)

    monkeypatch.setattr(PhotoPairs, "__getitem__", meet)
    timeout = f"loader.timeout={4 if fate == 'SIGSTOP' else PATIENCE}"
    with pytest.raises(DataError, match=rf"{message}.*folder/(cost|\[red\]|a_b|zz)"):
        train(make_config(*TINY, f"paths.data_dir={photos}", "loader.num_workers=1", timeout))
