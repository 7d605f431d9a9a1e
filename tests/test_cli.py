"""The command as a user types it: what it prints, where it stops, what it leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hqsam_lightning.cli import require_hydra_for_python, run_hydra
from launched import run_command
from patience import PATIENCE

TRAIN = "hqsam_lightning.train"
TINY = (
    "setting=paper",
    "sam=tiny_random",
    "trainer=cpu",
    "trainer.max_epochs=1",
    "data.train_size=4",
    "data.val_size=1",
    "batch.total=2",
    "loader.num_workers=0",
    "loss.num_points=64",
)


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Trains in an interpreter of its own; `run_command` takes less time."""
    return subprocess.run(
        [sys.executable, "-m", TRAIN, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_a_run_prints_what_it_does_and_the_table(tmp_path: Path) -> None:
    result = run(tmp_path, *TINY, "hydra.run.dir=out")
    assert result.returncode == 0, result.stderr
    assert "weight_decay: 0.0" in (tmp_path / "out" / ".hydra" / "config.yaml").read_text()
    assert "weight_decay" not in result.stdout
    before = result.stdout.split("mIoU / mBIoU in percent")[0]
    for text in (
        "trainable parameters",
        "4 images of 1 source(s): synthetic 4",
        "1 epoch(s) of 2 step(s)",
        "resume    no, a new run",
        f"folder    {tmp_path / 'out'}",
        "step 2/2 (100 %), epoch 1, loss ",
        "images/s, 0:00 left",
    ):
        assert text in before, text
    assert 8 < len(before.splitlines()) < 20
    assert "mIoU / mBIoU in percent" in result.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"metrics.json", "results.md", "results.png"}
    assert "batch of 2 images per step" in result.stderr + result.stdout
    assert {path.name for path in (tmp_path / "out" / ".hydra").iterdir()} == {
        "config.yaml",
        "hydra.yaml",
        "overrides.yaml",
    }
    before = content(tmp_path / "out")
    again = run_command(TRAIN, *TINY, "hydra.run.dir=out", "seed=7", cwd=tmp_path)
    assert again.returncode == 1
    assert "of a finished run" in again.stderr
    assert content(tmp_path / "out") == before


def content(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_multirun_with_the_basic_sweeper(tmp_path: Path) -> None:
    result = run_command(TRAIN, *TINY, "hydra.sweep.dir=sweep", "seed=1,2", "--multirun", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert all((tmp_path / "sweep" / point / "metrics.json").is_file() for point in "01")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["sam=vit_x"], ["sam/vit_x", "vit_b"]),
        (["trainer.max_epoch=1"], ["max_epoch", "did you mean 'max_epochs'"]),
        (["+trainer.max_epoch=1"], ["max_epoch", "trainer"]),
        (
            ["sam.precision=fp8", "paths.output_dir=out"],
            ["error: sam.precision: expected one of fp32, bf16, fp16; got 'fp8'"],
        ),
        (["data=hqseg44k", "paths.data_dir=nowhere"], ["error:", "dis5k_tr", "msra10k", "thinobject5k_te", "nowhere"]),
        (["data=hqseg44k", "data.sources=[ecsd]"], ["data.sources: expected one of coift", "got 'ecsd'"]),
    ],
)
def test_bad_input_is_named(tmp_path: Path, arguments: list[str], expected: list[str]) -> None:
    result = run_command(TRAIN, "setting=paper", "sam=tiny_random", "trainer=cpu", *arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert all(text in result.stderr for text in expected), result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("metrics.json"))


def test_wandb_works_offline_and_never_asks(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc"), "WANDB_CONFIG_DIR": str(tmp_path / "config")}
    result = run(
        tmp_path, *TINY, "trainer.log_every_n_steps=1", "logger=wandb", "hydra.run.dir=out", WANDB_API_KEY="", **home
    )
    assert result.returncode == 0, result.stderr
    (offline,) = (tmp_path / "out" / "wandb").glob("offline-run-*")
    (log,) = offline.glob("*.wandb")
    content = log.read_bytes()
    for key in (b"train/hq/loss", b"lr-Adam", b"val/synthetic/hq/sum/boundary_iou", b"batch", b"val/panels"):
        assert key in content, key
    assert list((offline / "files" / "media" / "images").rglob("*.png"))
    (table,) = (offline / "files" / "media" / "table").glob("results*.json")
    written, metrics = json.loads(table.read_text()), json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert [dict(zip(written["columns"], line, strict=True)) for line in written["data"]] == metrics["scores"]


def test_hydra_1_3_is_refused_on_python_3_14(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hqsam_lightning.cli.version", lambda package: "1.3.8")
    monkeypatch.setattr("hqsam_lightning.cli.sys.version_info", (3, 14, 0))
    with pytest.raises(
        SystemExit, match=r"^error: expected hydra-core 1\.4 on Python 3\.14, where 1\.3\.8 cannot start"
    ):
        run_hydra(lambda: pytest.fail("started"), "train")


@pytest.mark.parametrize(("python", "hydra"), [((3, 14), "1.4.0"), ((3, 14), "1.4.0rc3"), ((3, 13), "1.3.8")])
def test_other_pairs_of_python_and_hydra_start(
    python: tuple[int, int], hydra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hqsam_lightning.cli.version", lambda package: hydra)
    monkeypatch.setattr("hqsam_lightning.cli.sys.version_info", python)
    require_hydra_for_python()
