"""A run killed in any hook, or stopped by a signal, and started again ends as one that was left alone."""

import csv
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from hqsam_lightning.training.checkpoint import read_checkpoint
from launched import launch, signal_at

STEPS_AN_EPOCH = 4
RECIPE = (
    "setting=paper",
    "sam=tiny_random",
    "trainer=cpu",
    "trainer.max_epochs=2",
    "data.train_size=9",
    "data.val_size=3",
    "data.image_size=64",
    "batch.total=2",
    "batch.max_per_device=1",
    "loss.num_points=32",
    "scheduler.step_size=1",
    "loader.num_workers=0",
    "callbacks.last.every_n_steps=3",
    "~callbacks.progress_bar",
    "~callbacks.panels",
)
# ends within the third epoch, at a validation
BY_STEPS = ("trainer.max_epochs=-1", "trainer.max_steps=10", "trainer.check_val_every_n_epoch=null")
BY_STEPS = (*BY_STEPS, "trainer.val_check_interval=4")
Train = Callable[..., int]


@pytest.fixture
def train(make_config: Callable[..., DictConfig], tmp_path: Path) -> Train:
    """Trains with overrides into a folder; gives the exit status."""

    def run(folder: Path, *overrides: str) -> int:
        return launch(make_config(*RECIPE, f"paths.output_dir={folder}", *overrides), tmp_path / f"{folder.name}.log")

    return run


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Train, tuple[str, ...]], Path]:
    """The folder of a run that nothing happened to, by its overrides."""
    folders: dict[tuple[str, ...], Path] = {}

    def run(train: Train, overrides: tuple[str, ...]) -> Path:
        if overrides not in folders:
            folder = tmp_path_factory.mktemp("uninterrupted")
            assert train(folder, *overrides) == 0
            folders[overrides] = folder
        return folders[overrides]

    return run


def validated_steps(folder: Path) -> set[str]:
    """The steps at which it was validated, over all its sittings."""
    logs = [path.read_text().splitlines() for path in folder.glob("csv/version_*/metrics.csv")]
    return {row["step"] for log in logs for row in csv.DictReader(log) if row.get("val/hq/boundary_iou")}


def assert_same_end(a: Path, b: Path) -> None:
    for name in ("best/hq", "last"):
        first, second = (read_checkpoint(folder / "checkpoints" / f"{name}.ckpt") for folder in (a, b))
        assert first["global_step"] == second["global_step"], name
        assert first.get("loops") == second.get("loops"), name
        assert first.get("lr_schedulers") == second.get("lr_schedulers"), name
        assert first["state_dict"].keys() == second["state_dict"].keys()
        assert all(torch.equal(first["state_dict"][key], second["state_dict"][key]) for key in first["state_dict"])
    assert (a / "scores.csv").read_bytes() == (b / "scores.csv").read_bytes()
    scores = [json.loads((folder / "metrics.json").read_text())["scores"] for folder in (a, b)]
    assert scores[0] == scores[1]
    # one that was trained, and had no results yet, is scored once more
    assert validated_steps(b) <= validated_steps(a) <= validated_steps(b) | {str(first["global_step"])}


@pytest.mark.parametrize(
    ("overrides", "hook", "step"),
    [
        ((), "on_train_batch_end", STEPS_AN_EPOCH),  # the epoch's last step, before it closes
        ((), "on_validation_batch_end", STEPS_AN_EPOCH),
        (
            (),
            "on_train_epoch_start",
            STEPS_AN_EPOCH,
        ),  # best/hq.ckpt is of it, last.ckpt of before the validation
        ((), "on_train_batch_start", STEPS_AN_EPOCH + 1),
        ((), "on_validation_start", 2 * STEPS_AN_EPOCH),
        ((), "on_fit_end", 2 * STEPS_AN_EPOCH),  # trained, and without results
        # the quickstart's: the only validation is the last epoch's
        (("trainer.check_val_every_n_epoch=2",), "on_validation_epoch_end", 2 * STEPS_AN_EPOCH),
        (BY_STEPS, "on_validation_batch_end", 4),
        (BY_STEPS, "on_train_batch_end", 5),
        (BY_STEPS, "on_train_end", 10),
    ],
)
def test_killed_in_a_hook(
    train: Train,
    uninterrupted: Callable[..., Path],
    tmp_path: Path,
    overrides: tuple[str, ...],
    hook: str,
    step: int,
) -> None:
    folder = tmp_path / "killed"
    assert train(folder, *overrides, signal_at(hook, step, signal.SIGKILL)) == -signal.SIGKILL
    assert not (folder / "metrics.json").exists()
    assert train(folder, *overrides) == 0
    assert_same_end(folder, uninterrupted(train, overrides))


def test_killed_again_and_again(train: Train, uninterrupted: Callable[..., Path], tmp_path: Path) -> None:
    """Also in the sitting that began with the validation which the one before owed."""
    kills = [("on_train_batch_end", 2), ("on_validation_end", 4), ("on_validation_batch_start", 4)]
    kills += [("on_train_batch_end", 6), ("on_train_batch_end", 7), ("on_validation_batch_end", 8)]
    every = "callbacks.last.every_n_steps=1"
    for hook, step in kills:
        assert train(tmp_path / "killed", every, signal_at(hook, step, signal.SIGKILL)) == -signal.SIGKILL
    assert train(tmp_path / "killed", every) == 0
    assert_same_end(tmp_path / "killed", uninterrupted(train, ()))


@pytest.mark.parametrize(
    ("number", "hook", "step", "saved"),
    [
        (signal.SIGTERM, "on_train_batch_start", 4, 5),
        (signal.SIGINT, "on_validation_batch_start", 4, 4),
        (signal.SIGUSR1, "on_train_batch_end", 4, 4),
        (signal.SIGHUP, "on_train_start", 0, 1),
    ],
)
def test_a_signal_saves_and_says_so(
    train: Train, uninterrupted: Callable[..., Path], tmp_path: Path, number: int, hook: str, step: int, saved: int
) -> None:
    folder = tmp_path / "stopped"
    assert train(folder, signal_at(hook, step, number)) == 128 + number
    assert read_checkpoint(folder / "checkpoints" / "last.ckpt")["global_step"] == saved
    name = signal.Signals(number).name
    assert f"stopped by {name} at step {saved}; continue with: " in (tmp_path / "stopped.log").read_text()
    assert train(folder) == 0
    assert_same_end(folder, uninterrupted(train, ()))


def test_a_folder_that_was_moved(train: Train, uninterrupted: Callable[..., Path], tmp_path: Path) -> None:
    """The best score so far moves along: the second validation's, which is worse, does not replace it."""
    folder, moved = tmp_path / "killed", tmp_path / "moved"
    assert train(folder, signal_at("on_train_batch_end", STEPS_AN_EPOCH + 3, signal.SIGKILL)) == -signal.SIGKILL
    before = read_checkpoint(folder / "checkpoints" / "last.ckpt")["callbacks"]
    folder.rename(moved)
    assert train(moved) == 0
    after = read_checkpoint(moved / "checkpoints" / "last.ckpt")["callbacks"]
    chosen = [callbacks["BestCheckpoints"]["hq"] for callbacks in (before, after)]
    assert chosen[1]["value"] >= chosen[0]["value"]
    assert_same_end(moved, uninterrupted(train, ()))


def test_a_second_ctrl_c_ends_at_once(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    assert train(folder, signal_at("on_train_batch_start", 3, signal.SIGINT, signal.SIGINT)) == 130
    assert read_checkpoint(folder / "checkpoints" / "last.ckpt")["global_step"] == 3, "saved before, as every third"


def test_a_signal_before_the_first_step(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    assert (
        train(folder, signal_at("on_validation_batch_start", 0, signal.SIGTERM), "callbacks.signal_at.sanity=true")
        == 143
    )
    assert "stopped by SIGTERM before anything was saved; begin again with: " in (tmp_path / "stopped.log").read_text()
    assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize(
    "ends",
    [
        ["+trainer.max_time='00:00:00:00'", "+trainer.min_epochs=1"],
        [
            "+callbacks.early={_target_:lightning.pytorch.callbacks.EarlyStopping,monitor:val/hq/boundary_iou,mode:max,"
            "stopping_threshold:0.0,patience:9}"
        ],
        ["trainer.limit_train_batches=6"],
    ],
)
def test_every_end_leaves_a_last_checkpoint(train: Train, tmp_path: Path, ends: list[str]) -> None:
    """The clock's, a callback's, a limit's; and a run that had ended so stays ended when it lost its results."""
    folder = tmp_path / "ended"
    assert train(folder, *ends) == 0
    last = folder / "checkpoints" / "last.ckpt"
    ended, results = read_checkpoint(last), (folder / "scores.csv").read_bytes()
    assert 0 < ended["global_step"] < 2 * STEPS_AN_EPOCH
    (folder / "metrics.json").unlink()
    assert train(folder, *ends) == 0
    assert read_checkpoint(last)["global_step"] == ended["global_step"]
    assert (folder / "scores.csv").read_bytes() == results


def test_a_finished_run_is_not_touched(train: Train, uninterrupted: Callable[..., Path]) -> None:
    folder = uninterrupted(train, ())
    before = {path: (path.read_bytes(), os.stat(path).st_mtime_ns) for path in folder.rglob("*") if path.is_file()}
    assert train(folder) == 1
    assert train(folder, "seed=7") == 1
    after = {path: (path.read_bytes(), os.stat(path).st_mtime_ns) for path in folder.rglob("*") if path.is_file()}
    assert after == before
