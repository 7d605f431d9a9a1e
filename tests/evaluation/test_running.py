"""An evaluation gives the scores of a training run on real photos, and two processes those of one."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from hqsam_lightning.config import conf_dir
from hqsam_lightning.evaluate import evaluate
from hqsam_lightning.evaluation.table import read_table
from hqsam_lightning.train import train
from patience import PATIENCE

PLACE = Path("cascade_psp", "ecssd")
PROMPTS = ("+prompts@val_prompts.noisy_box=noisy_box", "+prompts@val_prompts.points=points")
TRAINING = (
    *("sam=tiny_random", "trainer=cpu", "trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1"),
    *("batch.total=4", "batch.max_per_device=4", "loader.num_workers=0", "loss.num_points=64", "optimizer.lr=0.01"),
    *("data=hqseg44k", "data.sources=[ecssd]", "data.val_sources=[]", "data.allow_missing=true", "data.holdout=5"),
    *("~callbacks.progress_bar", *PROMPTS),
)
SUITE = ("suite=fine_grained", "suite.sets.val_sources=[ecssd]", "suite.sets.allow_missing=true")


def link(shared_data: Path, folder: Path, numbers: range) -> Path:
    """A data folder with some photos of ECSSD."""
    whole = shared_data / "hqseg44k" / PLACE
    if not whole.is_dir():
        pytest.skip(f"no ECSSD at {whole}")
    (folder / PLACE).mkdir(parents=True)
    for name in (f"{number:04d}{suffix}" for number in numbers for suffix in (".jpg", ".png")):
        (folder / PLACE / name).symlink_to(whole / name)
    return folder


def test_on_ecssd_it_gives_the_scores_of_training(shared_data: Path, tmp_path: Path) -> None:
    """Trained on seven photos and validated on five, of which each checkpoint is then scored without the others."""
    run = tmp_path / "run"
    data = link(shared_data, tmp_path / "all", range(1, 13))
    held_out = link(shared_data, tmp_path / "held_out", range(8, 13))
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train", [*TRAINING, f"paths.data_dir={data}", f"paths.output_dir={run}"])
        own = (f"ckpt={run}", "which=last", "name=train", "trainer=cpu", "loader.num_workers=0", *PROMPTS)
        places = (f"paths.data_dir={held_out}", f"paths.output_dir={tmp_path / 'out'}")
        again = compose("evaluate", [*SUITE, *own, *places])
    train(config)
    table, _ = evaluate(again)
    pd.testing.assert_frame_equal(table, read_table(run / "scores.csv"), check_exact=True)
    assert sorted(set(table["sample"])) == [f"ecssd/{number:04d}" for number in range(8, 13)]
    assert table.groupby("variant")["value"].sum().nunique() == 2


def test_two_processes_write_the_scores_of_one(tmp_path: Path) -> None:
    """An odd number of images, one per pass, so that the batches are the same."""
    suite = ("data@suite.sets=synthetic", "suite.sets.val_size=5")
    command = [sys.executable, "-m", "hqsam_lightning.evaluate", "sam=tiny_random", *suite, *PROMPTS]
    command += ["batch_size=1", "loader.num_workers=0"]
    for trainer in ("cpu", "ddp_cpu"):
        where = (f"trainer={trainer}", f"hydra.run.dir={tmp_path / trainer}")
        done = subprocess.run([*command, *where], env=os.environ, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
    one, two = ((tmp_path / trainer / "scores.csv").read_bytes() for trainer in ("cpu", "ddp_cpu"))
    assert one == two
    assert len(set(read_table(tmp_path / "cpu" / "scores.csv")["sample"])) == 5
    assert not (tmp_path / "ddp_cpu" / "unfinished").exists()
