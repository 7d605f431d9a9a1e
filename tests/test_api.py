"""The package from Python: README's lines, folders, and what is loaded from a checkpoint."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

import hqsam_lightning
from conftest import ROOT
from hqsam_lightning.errors import CheckpointError, ConfigError, DataError, HQSamError, WeightsError
from hqsam_lightning.training.module import HQSamModule
from patience import PATIENCE

TINY = [
    "setting=paper",
    "sam=tiny_random",
    "trainer=cpu",
    "trainer.max_epochs=1",
    "data.train_size=2",
    "data.val_size=1",
    "batch.total=2",
    "loader.num_workers=0",
    "loss.num_points=16",
    "~callbacks.progress_bar",
]


def test_readmes_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    section = (ROOT / "README.md").read_text().split("## From Python", 1)[1].split("\n## ", 1)[0]
    lines = "\n".join(line[4:] for line in section.splitlines() if line.startswith("    "))
    assert lines.count('"+experiment=quickstart"') == 1
    names: dict = {}
    exec(lines.replace('"+experiment=quickstart"', ", ".join(map(repr, TINY))), names)
    config, module = names["config"], names["module"]
    assert Path(config.paths.output_dir).parent == tmp_path / "outputs" / "train"
    trained = names["objects"]["module"]
    assert module.trainable_state.keys() == trained.trainable_state.keys()
    assert all(torch.equal(value, trained.state_dict()[key]) for key, value in module.state_dict().items())
    assert not module.training

    path = Path(config.paths.output_dir) / "checkpoints" / "last.ckpt"
    with pytest.raises(CheckpointError, match="load_run"):
        HQSamModule.load_from_checkpoint(path)
    with pytest.raises(CheckpointError, match="expected heads trained on this SAM"):
        hqsam_lightning.load_run(path, ["sam.name=another"])
    with pytest.raises(CheckpointError, match=r"gone\.ckpt"):
        hqsam_lightning.load_run(path.with_name("gone.ckpt"))


def test_a_mapping_replaces_the_configs() -> None:
    config = hqsam_lightning.compose(["prompts.mix={points: 2}", "callbacks.panels.rules={gain: 2}"])
    assert config.prompts.mix == {"points": 2}
    assert config.callbacks.panels.rules == {"gain": 2}
    with pytest.raises(ConfigError, match=r"promts\.mix: the config has no key 'promts'; did you mean 'prompts'"):
        hqsam_lightning.compose(["promts.mix={points: 2}"])


def test_train_checks_its_config(tmp_path: Path) -> None:
    config = hqsam_lightning.compose(TINY, output_dir=tmp_path)
    config.optimizer.lr = -1
    with pytest.raises(ConfigError, match=r"^optimizer\.lr: expected"):
        hqsam_lightning.train(config)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["data=folder", "paths.data_dir=/nowhere"], DataError, r"^problems with the data in /nowhere"),
        (["data=coco", "data.data_dir=/nowhere"], DataError, r"^/nowhere/annotations/.*set data\.annotations"),
        (["sam.weights=/nowhere.pth"], WeightsError, r"^/nowhere\.pth: expected a weights file"),
    ],
)
def test_train_raises_the_packages_errors(
    tmp_path: Path, overrides: list[str], error: type[HQSamError], message: str
) -> None:
    """Not those of Hydra, which instantiates what is wrong."""
    config = hqsam_lightning.compose([*TINY[:2], *TINY[6:], *overrides], output_dir=tmp_path)
    with pytest.raises(error, match=message):
        hqsam_lightning.train(config)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seed=abc", "batch.total=0"], r"(?s)seed: expected .*batch\.total: expected"),
        (["trainer.max_epoch=1"], "did you mean 'max_epochs'"),
        (["sam=vit_x"], "vit_b"),
        (["ckpt_path=a(b"], r'ckpt_path="a\(b"'),
    ],
)
def test_bad_overrides_are_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        hqsam_lightning.compose(overrides)


def test_where_a_run_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_[\d-]+", Path(hqsam_lightning.compose().paths.output_dir).name)
    given = [
        hqsam_lightning.compose(output_dir=tmp_path / "a (1)"),
        hqsam_lightning.compose(["hydra.run.dir=b"]),
        hqsam_lightning.compose([f"paths.output_dir={tmp_path}/c"]),
    ]
    assert [Path(config.paths.output_dir).relative_to(tmp_path).name for config in given] == ["a (1)", "b", "c"]
    assert all("hydra" not in config for config in given)
    assert all(OmegaConf.to_container(config, resolve=True) for config in given)
    assert not list(tmp_path.iterdir())


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, hqsam_lightning; print([name for name in ('torch', 'hydra', 'lightning') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout.strip() == "[]"
    assert {"compose", "train", "load_run"} <= set(dir(hqsam_lightning))
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = hqsam_lightning.trian


def test_a_run_without_logger_checkpoints_and_validation_batches(tmp_path: Path) -> None:
    """Supported by docs/trainer.md, each in its way: nothing is logged, kept or scored, and results are written."""
    given = ["~logger.csv", "~callbacks.learning_rate", "~callbacks.best", "+trainer.enable_checkpointing=false"]
    honoured = ["trainer.limit_val_batches=0", "+trainer.detect_anomaly=true", "+trainer.inference_mode=false"]
    means, objects = hqsam_lightning.train(hqsam_lightning.compose([*TINY, *given, *honoured], output_dir=tmp_path))
    assert objects["trainer"].global_step == 1
    assert objects["trainer"].loggers == []
    assert len(means) == 0
    assert (tmp_path / "metrics.json").is_file()
