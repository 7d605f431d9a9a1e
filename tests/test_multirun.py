"""Multiruns and searches as a user starts them: trials after one that fails are run, and the end says which failed."""

import subprocess
from pathlib import Path

import pytest

from launched import run_command

SCRIPT = """
import sys
from pathlib import Path

import hydra

from hqsam_lightning.cli import clean_errors, run_hydra
from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import ConfigError, FinishedError


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="train")
@clean_errors
def main(config):
    with open("begun", "a") as file:
        file.write(f"{config.seed} {config.prompts.mix}\\n")
    first = config.name == "fails_once" and not Path("failed").exists()
    Path("failed").touch()
    if config.seed == 2 or first:
        raise ConfigError("batch.total: expected at most 4")
    if config.seed == 3:
        raise ValueError("broken\\nhere")
    if config.seed == 4:
        sys.exit(143)
    if config.seed == 5:
        raise KeyboardInterrupt
    if config.seed == 7:
        raise FinishedError("paths.output_dir: expected a folder without a run")
    return {"iou": 0.5, "boundary_iou": config.seed / 100}


run_hydra(main, "train")
"""

MIXES = """# @package _global_
hydra:
  sweeper:
    params:
      prompts.mix: "{box:1},{points:2}"
"""


def run(folder: Path, *arguments: str, multirun: bool = True) -> subprocess.CompletedProcess:
    (folder / "script.py").write_text(SCRIPT)
    return run_command("script.py", *arguments, "hydra.sweep.dir=trials", *["--multirun"] * multirun, cwd=folder)


def begun(folder: Path) -> list[str]:
    return [line.split()[0] for line in (folder / "begun").read_text().splitlines()]


def test_trials_after_a_failing_one_are_run(tmp_path: Path) -> None:
    result = run(tmp_path, "seed=1,2,3,6")
    assert result.returncode == 1
    assert begun(tmp_path) == ["1", "2", "3", "6"]
    assert "error: batch.total: expected at most 4" in result.stderr, "at once"
    assert "Traceback" in result.stderr, "of user code's own error"
    assert result.stderr.endswith(
        "2 of 4 trials failed, in trials:\n"
        "  1 (seed=2): batch.total: expected at most 4\n"
        "  2 (seed=3): ValueError: broken here\n"
    )


def test_a_trial_that_was_finished_before_is_no_failure(tmp_path: Path) -> None:
    result = run(tmp_path, "seed=7,1")
    assert result.returncode == 0
    assert begun(tmp_path) == ["7", "1"]
    assert "trial 0 was finished before, and is not run again" in result.stderr


@pytest.mark.parametrize(("seed", "status"), [(4, 143), (5, 130)])
def test_a_signal_ends_the_multirun_at_once(tmp_path: Path, seed: int, status: int) -> None:
    result = run(tmp_path, f"seed=1,{seed},6")
    assert result.returncode == status
    assert begun(tmp_path) == ["1", str(seed)]
    assert "trial 1 was stopped; the ones after it were not begun" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_single_trial_fails_by_its_message(tmp_path: Path) -> None:
    result = run(tmp_path, "seed=2")
    assert result.returncode == 1
    assert result.stderr.strip() == "error: batch.total: expected at most 4"


@pytest.mark.parametrize(
    "sweep",
    [
        ["prompts.mix={box:1},{points:2}"],
        ["hydra.sweeper.params={prompts.mix:'{box:1},{points:2}'}"],
        ["--config-dir=.", "+sweep=mixes"],
        ["--config-dir=.", "+sweep=mixes", "hydra/launcher=basic"],
        ["--config-dir=.", "+sweep=mixes", "prompts.mix={box:1},{points:2}"],
    ],
)
def test_mappings_of_a_sweep_replace(tmp_path: Path, sweep: list[str]) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mixes.yaml").write_text(MIXES)
    result = run(tmp_path, *sweep)
    assert result.returncode == 0, result.stderr
    mixes = [line.partition(" ")[2] for line in (tmp_path / "begun").read_text().splitlines()]
    assert mixes == ["{'box': 1}", "{'points': 2}"]


def test_mappings_of_a_search_replace(tmp_path: Path) -> None:
    study = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweeper.study=study.log")
    result = run(tmp_path, *study, "+hydra.sweeper.params={prompts.mix:'choice({box:1},{points:2})'}")
    assert result.returncode == 0, result.stderr
    mixes = {line.partition(" ")[2] for line in (tmp_path / "begun").read_text().splitlines()}
    assert mixes <= {"{'box': 1}", "{'points': 2}"}


def test_an_experiment_that_sweeps_needs_no_flag(tmp_path: Path) -> None:
    result = run(tmp_path, "+experiment=ablate_points", "prompts.num_points=3,5", multirun=False)
    assert result.returncode == 0, result.stderr
    assert len(begun(tmp_path)) == 2


def test_a_search_sums_up_its_failures(tmp_path: Path) -> None:
    study = tmp_path / "it's, a=(study).log"
    quoted = f"hydra.sweeper.study='{study}'".replace("it's", "it\\'s")
    space = "+hydra.sweeper.params={seed:'choice(1,6,7)'}"
    search = ("name=fails_once", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", quoted, space)
    result = run(tmp_path, *search)
    assert result.returncode == 1
    assert study.is_file()
    assert "1 trial(s) of the search fails_once failed and are not done again:\n  trial 0 (seed=" in result.stderr
    assert result.stderr.endswith("): batch.total: expected at most 4\ntheir folders are in trials\n")
    assert "Traceback" not in result.stderr
    again = run(tmp_path, *search)
    assert again.returncode == 0, again.stderr
    study.write_bytes(study.read_bytes().replace(b'"op_code":4', b'"op_code":5', 1))
    damaged = run(tmp_path, *search)
    assert damaged.returncode == 1
    assert damaged.stderr.startswith(f"error: hydra.sweeper.study={study}: expected what hqsam_lightning wrote")
    assert len(damaged.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hydra.sweeper.n_trials=many", "error: hydra.sweeper.n_trials: expected an integer >= 1; got 'many'"),
        ("+hydra.sweeper.params={seed:'choice('}", "error: hydra.sweeper.params.seed: expected a sweep in Hydra"),
    ],
)
def test_errors_of_a_search_are_one_line(tmp_path: Path, override: str, message: str) -> None:
    result = run(tmp_path, "+sweep=optuna", override)
    assert result.returncode == 1
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1
