"""Two gloo processes see the samples of one, score them once, and refuse what cannot work."""

import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import hqsam_lightning
from hqsam_lightning.errors import CheckpointError
from hqsam_lightning.evaluation.table import read_table
from hqsam_lightning.training.checkpoint import read_checkpoint
from launched import run_command, signal_at

RECIPE = (
    "setting=paper",
    "sam=tiny_random",
    "data.train_size=8",
    "data.val_size=5",
    "batch.total=4",
    "trainer.max_epochs=1",
    "loader.num_workers=0",
    "loss.num_points=64",
    "optimizer._target_=torch.optim.SGD",
    "~optimizer.betas",
    "optimizer.lr=0.1",
    "~callbacks.progress_bar",
)


def run(folder: Path, *overrides: str, paths: Path | None = None) -> subprocess.CompletedProcess:
    """Trains from the command line; `paths` are looked at for modules too."""
    search = [str(paths)] if paths else []
    search += [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
    given = (*RECIPE, f"hydra.run.dir={folder}", *overrides)
    return run_command("hqsam_lightning.train", *given, PYTHONPATH=os.pathsep.join(search))


# heads with an encoder of their own, and one that looks at the images
METHODS = ("+head@variants.lora=lora", "+head@variants.tuned=tuned_sam", "+head@variants.refiner=refiner")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("ddp")
    one, two = root / "one", root / "two"
    for result in (run(one, "trainer=cpu", *METHODS), run(two, "trainer=ddp_cpu", *METHODS)):
        assert result.returncode == 0, result.stderr
    return one, two


def test_two_processes_report_the_metrics_of_one(folders: tuple[Path, Path]) -> None:
    one, two = (json.loads((folder / "metrics.json").read_text()) for folder in folders)
    assert two["run"]["batch"].startswith("batch of 4 images per step = 2 device(s) x 2 image(s)")
    assert one["scores"][0]["masks"] > 5, "some scenes should have several masks"
    assert {mean["variant"] for mean in two["scores"]} == {"sam", "hq", "lora", "tuned", "refiner"}
    for a, b in zip(one["scores"], two["scores"], strict=True):
        assert a | {"mean": 0} == b | {"mean": 0}
        # plain SAM learns nothing: the same masks give the same sums
        assert a["mean"] == pytest.approx(b["mean"], abs=1e-12 if a["variant"] == "sam" else 2e-3)


def test_two_processes_write_each_mask_once(folders: tuple[Path, Path]) -> None:
    one, two = (read_table(folder / "scores.csv") for folder in folders)
    pd.testing.assert_frame_equal(one.drop(columns="value"), two.drop(columns="value"))
    assert not two.duplicated(["variant", "output", "dataset", "sample", "mask", "prompts", "metric"]).any()
    assert two.drop_duplicates(["dataset", "sample", "mask"]).shape[0] > 5
    baseline = one["variant"] == "sam"
    assert one["value"][baseline].tolist() == pytest.approx(two["value"][baseline].tolist(), abs=1e-3)


def test_two_processes_train_as_one(folders: tuple[Path, Path]) -> None:
    """The same samples, augmented and prompted the same, whatever the rank that draws them."""
    one, two = (read_checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"] for folder in folders)
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=1e-3, atol=1e-5)


def train_on(trainer: str, folder: Path, *overrides: str) -> None:
    """Trains with 4 steps per epoch, in passes of one image: two devices take half as many passes per step as one."""
    longer = ("trainer.max_epochs=2", "data.train_size=17", "data.val_size=2", "batch.max_per_device=1", *overrides)
    if trainer == "cpu":
        hqsam_lightning.train(hqsam_lightning.compose([*RECIPE, "trainer=cpu", *longer], folder))
    else:
        result = run(folder, f"trainer={trainer}", *longer)
        assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    train_on("cpu", folder)
    return folder


@pytest.mark.parametrize("trainers", [("cpu", "ddp_cpu"), ("ddp_cpu", "cpu")])
def test_a_run_is_resumed_in_mid_epoch_on_another_number_of_devices(
    uninterrupted: Path, tmp_path: Path, trainers: tuple[str, str]
) -> None:
    train_on(trainers[0], tmp_path, "trainer.max_steps=6")
    (tmp_path / "metrics.json").unlink()
    train_on(trainers[1], tmp_path)
    resumed, whole = (read_checkpoint(folder / "checkpoints" / "last.ckpt") for folder in (tmp_path, uninterrupted))
    assert resumed["global_step"] == whole["global_step"] == 2 * 4
    assert resumed["loops"]["fit_loop"]["epoch_progress"] == whole["loops"]["fit_loop"]["epoch_progress"]
    assert resumed["state_dict"].keys() == whole["state_dict"].keys()
    for key, value in resumed["state_dict"].items():
        torch.testing.assert_close(value, whole["state_dict"][key], rtol=0, atol=1e-6)


@pytest.mark.parametrize("limit", ["2", "0.5"])
def test_a_limit_in_batches_belongs_to_a_number_of_devices(tmp_path: Path, limit: str) -> None:
    limited = f"trainer.limit_train_batches={limit}"
    train_on("cpu", tmp_path, "trainer.max_steps=1", limited)
    (tmp_path / "metrics.json").unlink()
    with pytest.raises(CheckpointError, match=r"limit_train_batches: expected null, or the 4 batches per step"):
        train_on("cpu", tmp_path, limited, "batch.max_per_device=2")


def test_a_multirun_of_many_processes_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path, "trainer=ddp_cpu", f"hydra.sweep.dir={tmp_path}", "seed=1,2", "--multirun")
    assert result.returncode == 1
    assert "trainer.devices: expected one device per trial of a multirun; got 2" in result.stderr


def test_a_batch_that_does_not_divide_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path, "trainer=ddp_cpu", "batch.total=3")
    assert result.returncode == 1
    assert "batch.total: expected a multiple of the 2 devices; got 3" in result.stderr


def test_a_process_that_fails_takes_the_others_along(tmp_path: Path) -> None:
    """A photo that only decoding shows to be damaged: rank 0 must not leave rank 1 waiting in a collective."""
    photos = tmp_path / "photos"
    for name in ("images", "masks"):
        (photos / name).mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for number in range(8):
        Image.fromarray(noise).save(photos / "images" / f"{number}.jpg")
        Image.new("L", (64, 64), 255).save(photos / "masks" / f"{number}.png")
        whole = (photos / "images" / f"{number}.jpg").read_bytes()
        (photos / "images" / f"{number}.jpg").write_bytes(whole[: len(whole) // 2])
    recipe = [text for text in RECIPE if not text.startswith("data.")]
    own = (f"paths.data_dir={photos}", "trainer.num_sanity_val_steps=0", f"hydra.run.dir={tmp_path / 'out'}")
    folder = ("trainer=ddp_cpu", "data=folder", "data.check=quick")
    result = run_command("hqsam_lightning.train", *recipe, *folder, *own)
    # Lightning kills rank 0 when it finds rank 1 dead before rank 0's own error has ended it
    assert result.returncode in (1, -signal.SIGKILL)
    assert "image file is truncated" in result.stderr


@pytest.mark.parametrize("ranks", [(1,), (0, 1)])
def test_a_signal_to_any_rank_ends_all(tmp_path: Path, ranks: tuple[int, ...]) -> None:
    overrides = ("trainer=ddp_cpu", "trainer.max_epochs=2", "trainer.limit_val_batches=1")
    stop = signal_at("on_train_batch_start", 1, signal.SIGTERM, ranks=ranks)
    result = run(tmp_path, *overrides, stop, paths=Path(__file__).parents[1])
    assert result.returncode == 143, result.stderr
    assert f"stopped by SIGTERM at step 2; continue with: python -m hqsam_lightning.train {RECIPE[0]}" in result.stderr
    assert read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 2
