"""An evaluation gives the scores of a training run on real photos, and two processes those of one."""

import json
import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from hqsam_lightning.config import conf_dir
from hqsam_lightning.evaluate import evaluate
from hqsam_lightning.evaluation.table import read_table
from hqsam_lightning.train import train
from launched import run_command

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


KILLED = """
import os, signal
from hqsam_lightning import evaluate
from hqsam_lightning.cli import run_hydra
from hqsam_lightning.evaluation.journal import Journal

add = Journal.add

def add_and_die(journal, setting, images):
    add(journal, setting, images)
    if len(journal.read(setting)) == 4:
        os.kill(os.getpid(), signal.SIGKILL)

Journal.add = add_and_die
run_hydra(evaluate.main, "evaluate")
"""
FIVE_IMAGES = (
    *("sam=tiny_random", "data@suite.sets=synthetic", "suite.sets.val_size=5", *PROMPTS),
    *("batch_size=2", "save_every=0", "loader.num_workers=0"),
)
"""Two images share a forward pass."""


def evaluated_apart(folder: Path, trainer: str, program: str) -> subprocess.CompletedProcess[str]:
    """Evaluates them in processes of their own."""
    return run_command(program, *FIVE_IMAGES, f"trainer={trainer}", f"hydra.run.dir={folder}")


def evaluated_here(folder: Path) -> None:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        evaluate(compose("evaluate", [*FIVE_IMAGES, "trainer=cpu", f"paths.output_dir={folder}"]))


def numbers(folder: Path) -> str:
    """metrics.json without when, where, on what devices and how fast it was made, and without its own checksum."""
    content = json.loads((folder / "metrics.json").read_text())
    assert [cost.pop("encoded_per_photo") for cost in content["run"].pop("frames").values()] == [1]
    for place, key in (("run", "command"), ("run", "date"), ("config", "paths"), ("config", "trainer")):
        del content[place][key]
    return json.dumps({key: value for key, value in content.items() if key != "sha256"})


def test_two_processes_and_a_killed_one_write_the_results_of_one(tmp_path: Path) -> None:
    one, two, cut = (tmp_path / name for name in ("one", "two", "cut"))
    evaluated_here(one)
    done = evaluated_apart(two, "ddp_cpu", "hqsam_lightning.evaluate")
    assert done.returncode == 0, done.stderr
    (tmp_path / "killed.py").write_text(KILLED)
    killed = evaluated_apart(cut, "cpu", str(tmp_path / "killed.py"))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (cut / "metrics.json").exists()
    evaluated_here(cut)
    for other in (two, cut):
        assert (other / "scores.csv").read_bytes() == (one / "scores.csv").read_bytes()
        assert numbers(other) == numbers(one)
        assert not (other / "unfinished").exists()
    assert len(set(read_table(one / "scores.csv")["sample"])) == 5
