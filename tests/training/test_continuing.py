"""The same command in the same folder: continued with the same data and recipe alone, also after a full disk."""

import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig
from PIL import Image

from hqsam_lightning.errors import BusyError, CheckpointError, StorageError
from hqsam_lightning.storage.locks import claim
from hqsam_lightning.train import train
from hqsam_lightning.training.checkpoint import read_checkpoint

TINY = ("sam=tiny_random", "trainer=cpu", "trainer.max_epochs=1", "trainer.max_steps=2", "batch.total=1")
TINY = (*TINY, "loader.num_workers=0", "loss.num_points=32", "~callbacks.progress_bar", "~callbacks.panels")
TINY = (*TINY, "trainer.num_sanity_val_steps=0", "data=folder", "data.holdout=2", "callbacks.last.every_n_steps=1")
Run = Callable[..., int]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six photos with masks; the last two are held out."""
    folder = tmp_path / "photos"
    for number in range(6):
        add_photo(folder, f"p{number}", number)
    return folder


def add_photo(folder: Path, name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(folder / "images" / f"{name}.jpg")
    mask = np.zeros((64, 64), np.uint8)
    mask[10:50, 5 + seed : 40 + seed] = 255
    Image.fromarray(mask).save(folder / "masks" / f"{name}.png")


@pytest.fixture
def run(make_config: Callable[..., DictConfig], photos: Path) -> Run:
    """Trains in the folder of `make_config`; gives the number of steps."""

    def train_on(*overrides: str) -> int:
        _, objects = train(make_config(*TINY, f"paths.data_dir={photos}", *overrides))
        return objects["trainer"].global_step

    return train_on


@pytest.fixture
def unfinished(run: Run, tmp_path: Path) -> Path:
    """The folder of a run that lost its results."""
    run()
    (tmp_path / "run" / "metrics.json").unlink()
    return tmp_path / "run"


def test_other_data_is_not_trained_on(unfinished: Path, run: Run, photos: Path) -> None:
    kept = (unfinished / "checkpoints" / "last.ckpt").read_bytes()
    add_photo(photos, "p9", 9)  # now p4, held out before, would be trained on
    with pytest.raises(
        CheckpointError, match="train set folder: 4 images before, 5 now; validation set folder: 2 images"
    ):
        run("trainer.max_steps=3")
    for part in ("images/p9.jpg", "masks/p9.png"):
        (photos / part).unlink()
    Image.new("L", (64, 64), 255).save(photos / "masks" / "p1.png")
    with pytest.raises(CheckpointError, match="train set folder: the same 4 names, but files of other content"):
        run("trainer.max_steps=3")
    add_photo(photos, "p1", 1)
    assert (unfinished / "checkpoints" / "last.ckpt").read_bytes() == kept
    assert run("trainer.max_steps=3") == 3


@pytest.mark.parametrize("override", ["seed=7", "optimizer.lr=0.5", "data.holdout=1"])
def test_another_recipe_is_refused_and_touches_nothing(unfinished: Path, run: Run, override: str) -> None:
    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in unfinished.rglob("*") if path.is_file()}

    before = content()
    with pytest.raises(CheckpointError, match=f"{override.split('=')[0]}: .* before, .* now.*hydra.run.dir"):
        run(override)
    assert content() == before


def test_a_folder_in_use_is_not_touched(run: Run, tmp_path: Path) -> None:
    with claim(tmp_path / "run", "wait"), pytest.raises(BusyError, match=r"run: expected a folder that no other run"):
        run()
    assert list((tmp_path / "run").iterdir()) == []
    run()
    assert (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize("room", [1_000, 20_000])
def test_a_full_disk_and_the_same_command_again(run: Run, tmp_path: Path, room: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(StorageError, match="cannot be written"):
            run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [name for _, _, names in os.walk(tmp_path / "run") for name in names if name.endswith(".part")]
    assert run() == 2
    assert read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] == 2
