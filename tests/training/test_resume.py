"""A run killed at any step and resumed ends with the weights of an uninterrupted one."""

import signal
import subprocess
from pathlib import Path

import pytest
import torch

from hqsam_lightning.train import train
from hqsam_lightning.training.checkpoint import read_checkpoint
from launched import run_command, signal_at

RECIPE = (
    "setting=paper",
    "sam=tiny_random",
    "trainer=cpu",
    "trainer.max_epochs=3",
    "data.train_size=17",
    "data.val_size=2",
    "batch.total=2",
    "loss.num_points=64",
    "scheduler.step_size=1",
    "callbacks.last.every_n_steps=1",
    "~callbacks.progress_bar",
)
STEPS_AN_EPOCH = 8


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"]


def assert_equal_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    run_to_end(folder)
    return folder


def run(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    own = ("loader.num_workers=2", f"hydra.run.dir={folder}")
    return run_command("hqsam_lightning.train", *RECIPE, *own, *overrides)


def run_to_end(folder: Path, *overrides: str) -> None:
    run(folder, *overrides).check_returncode()


def test_sigkill_in_mid_epoch(uninterrupted: Path, tmp_path: Path) -> None:
    killed, resumed = tmp_path / "killed", tmp_path / "resumed"
    ended = run(killed, signal_at("on_train_batch_end", STEPS_AN_EPOCH + 3, signal.SIGKILL))
    assert ended.returncode == -signal.SIGKILL
    run_to_end(resumed, f"ckpt_path={killed / 'checkpoints' / 'last.ckpt'}")
    assert_equal_weights(weights(resumed), weights(uninterrupted))


@pytest.mark.filterwarnings("ignore:The dirpath has changed")  # the resumed run writes into a folder of its own
@pytest.mark.parametrize("steps", [3, STEPS_AN_EPOCH, STEPS_AN_EPOCH + 1, 2 * STEPS_AN_EPOCH - 1])
def test_resuming_after_any_step(uninterrupted: Path, tmp_path: Path, make_config, steps: int) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(make_config(*RECIPE, f"paths.output_dir={first}", f"trainer.max_steps={steps}", "loader.num_workers=0"))
    _, objects = train(
        make_config(
            *RECIPE,
            f"paths.output_dir={second}",
            f"ckpt_path={first / 'checkpoints' / 'last.ckpt'}",
            "loader.num_workers=0",
        )
    )
    assert objects["trainer"].global_step == 3 * STEPS_AN_EPOCH
    assert_equal_weights(weights(second), weights(uninterrupted))
