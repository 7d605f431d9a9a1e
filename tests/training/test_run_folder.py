"""Which run of a folder is continued, and by which command."""

import shlex
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.overrides import quote_override
from hqsam_lightning.training.run_folder import continue_command, find_checkpoint, is_first_process


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With an unfinished run."""
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "last.ckpt").write_bytes(b"")
    return tmp_path / "run"


def test_an_unfinished_run_is_continued(folder: Path, tmp_path: Path) -> None:
    own = folder / "checkpoints" / "last.ckpt"
    assert find_checkpoint(folder, None, "auto") == own
    assert find_checkpoint(folder, str(tmp_path / "where" / "it" / "began.ckpt"), "auto") == own
    assert find_checkpoint(folder, str(folder / "checkpoints" / "best.ckpt"), "auto").name == "best.ckpt"
    assert find_checkpoint(folder, str(folder / "checkpoints" / "best.ckpt"), "never").name == "best.ckpt"
    with pytest.raises(ConfigError, match=r"last\.ckpt is there .*resume=auto"):
        find_checkpoint(folder, None, "never")


def test_a_finished_run_is_refused(folder: Path) -> None:
    (folder / "metrics.json").write_text("{}")
    for resume in ("auto", "never"):
        with pytest.raises(ConfigError, match=r"metrics\.json is there, of a finished run"):
            find_checkpoint(folder, None, resume)
    assert find_checkpoint(folder, str(folder / "checkpoints" / "last.ckpt"), "auto") is not None


def test_an_empty_folder_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_checkpoint(tmp_path / "new", None, "auto") is None
    assert find_checkpoint(tmp_path / "new", "~/a.ckpt", "never") == tmp_path / "a.ckpt"


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"RANK": "0", "GROUP_RANK": "0"}, True),
        ({"RANK": "3"}, False),
        ({"LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "2"}, False),
        ({"SLURM_PROCID": "2"}, False),
    ],
)
def test_one_process_owns_the_folder(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], first: bool) -> None:
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK", "NODE_RANK", "GROUP_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() == first


@pytest.mark.parametrize("name", ["run", "with space", "a=b", "quote's", "(1), [2]", "ü$x"])
def test_the_command_that_continues_survives_shell_and_hydra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    given = ["name=x", "+trainer.max_time={hours:1}", "ckpt_path=old.ckpt", "resume=never"]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train", overrides=[*given, f"hydra.run.dir={tmp_path}"], return_hydra_config=True)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    HydraConfig.instance().set_config(config)
    words = shlex.split(continue_command("train", tmp_path / name))
    assert words[:5] == ["python", "-m", "hqsam_lightning.train", "name=x", "+trainer.max_time={hours:1}"]
    assert len(words) == 6
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        again = compose("train", overrides=words[3:], return_hydra_config=True)
    assert again.hydra.run.dir == str(tmp_path / name)


@pytest.mark.parametrize("name", ["points", "with space", "a=b,c"])
def test_a_point_of_a_sweep_is_continued_by_the_whole_sweep(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    sweep = quote_override("hydra.sweep.dir", str(tmp_path / name))
    monkeypatch.setattr(sys, "argv", ["train.py", "optimizer.lr=1e-3,1e-2", "resume=never", sweep, "--multirun"])
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose(
            "train", overrides=["optimizer.lr=1e-3", sweep, "hydra.mode=MULTIRUN"], return_hydra_config=True
        )
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    HydraConfig.instance().set_config(config)
    words = shlex.split(continue_command("train", tmp_path / name / "0"))
    assert words == ["python", "-m", "hqsam_lightning.train", "optimizer.lr=1e-3,1e-2", "--multirun", sweep]
