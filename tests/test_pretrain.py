"""Pretraining end to end: what it learns, what it leaves, that it survives a kill, and what it refuses."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from safetensors.torch import load_file

from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import CheckpointError, ConfigError
from hqsam_lightning.pretrain import build, pretrain
from hqsam_lightning.train import train
from hqsam_lightning.training.checkpoint import read_checkpoint
from launched import run_command, signal_at

STEPS = 8
RECIPE = (
    "sam=tiny_random",
    "sam.weights=random",
    "trainer=cpu",
    "data.train_size=11",
    "data.val_size=2",
    "batch_size=3",
    "scheduler.warmup_steps=2",
    f"scheduler.total_steps={STEPS}",
    "trainer.val_check_interval=3",
    "trainer.log_every_n_steps=1",
    "callbacks.last.every_n_steps=1",
    "~callbacks.progress_bar",
)
Compose = Callable[..., DictConfig]


@pytest.fixture
def make_config(tmp_path: Path) -> Compose:
    """Composes conf/pretrain.yaml for a tiny run that writes into tmp_path."""

    def compose_config(*overrides: str, folder: Path | None = None) -> DictConfig:
        output = f"paths.output_dir={folder or tmp_path / 'run'}"
        short = (output, "loader.num_workers=0", f"trainer.max_steps={STEPS}")
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            return compose("pretrain", overrides=[*RECIPE, *short, *overrides])

    return compose_config


def run(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    own = (f"trainer.max_steps={STEPS}", "loader.num_workers=2", f"hydra.run.dir={folder}")
    return run_command("hqsam_lightning.pretrain", *RECIPE, *own, *overrides)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    result = run(folder)
    result.check_returncode()
    return folder, result.stdout


def assert_same_run(a: Path, b: Path) -> None:
    """All that training goes on with, and what it ended with, agrees in every bit."""
    first, second = (read_checkpoint(folder / "checkpoints" / "last.ckpt") for folder in (a, b))
    assert first["global_step"] == second["global_step"] == STEPS
    for part in ("state_dict", "current_model_state", "averaging_state"):
        assert first[part].keys() == second[part].keys()
        assert all(torch.equal(first[part][key], second[part][key]) for key in first[part]), part
    moments = [checkpoint["optimizer_states"][0]["state"] for checkpoint in (first, second)]
    assert all(torch.equal(moments[0][key]["exp_avg"], moments[1][key]["exp_avg"]) for key in moments[0])
    weights = [load_file(folder / "sam.safetensors") for folder in (a, b)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    rows = [json.loads((folder / "metrics.json").read_text())["rows"] for folder in (a, b)]
    assert rows[0] == rows[1]


def test_what_a_run_leaves(uninterrupted: tuple[Path, str], make_config: Compose) -> None:
    folder, printed = uninterrupted
    assert f"sam=tiny_random sam.weights={folder / 'sam.safetensors'}" in printed
    metrics = json.loads((folder / "metrics.json").read_text())
    assert [row["prompt"] for row in metrics["rows"]] == ["filled_box", "box", "point"]
    assert 0.2 < metrics["rows"][0]["miou"] < 1
    assert metrics["run"]["steps"] == STEPS
    assert metrics["run"]["parameters"] > 10_000
    assert "| filled box (no model) |" in (folder / "results.md").read_text()
    sam = instantiate(make_config(f"sam.weights={folder / 'sam.safetensors'}").sam)
    stored = load_file(folder / "sam.safetensors")
    assert all(torch.equal(value.float(), sam.sam.state_dict()[name]) for name, value in stored.items())
    assert metrics["run"]["weights_sha256"] == sam.weights_sha256
    assert metrics["config"]["batch_size"] == 3


def test_the_shipped_weights_are_the_averaged_ones(uninterrupted: tuple[Path, str]) -> None:
    folder, _ = uninterrupted
    checkpoint = read_checkpoint(folder / "checkpoints" / "last.ckpt")
    for name, value in load_file(folder / "sam.safetensors").items():
        assert torch.equal(checkpoint["state_dict"][f"model.sam.{name}"].half(), value), name
    average, current = (checkpoint[key] for key in ("state_dict", "current_model_state"))
    assert any(not torch.equal(average[name], current[name]) for name in average)


def test_a_run_that_goes_on_keeps_a_share_of_its_first_weights(
    uninterrupted: tuple[Path, str], make_config: Compose, tmp_path: Path
) -> None:
    first = uninterrupted[0] / "sam.safetensors"
    pretrain(make_config(f"sam.weights={first}", "seed=43", "start_share=0.25"))
    ended = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["state_dict"]
    began, left = load_file(first), load_file(tmp_path / "run" / "sam.safetensors")
    assert left.keys() == began.keys()
    for name, value in left.items():
        expected = 0.25 * began[name].double() + 0.75 * ended[f"model.sam.{name}"].double()
        torch.testing.assert_close(value.double(), expected, rtol=1e-3, atol=1e-6, msg=name)
    moved = [name for name in began if not torch.equal(began[name], left[name])]
    assert "mask_decoder.iou_token.weight" in moved


def test_only_validate_scores_a_file_and_trains_nothing(
    uninterrupted: tuple[Path, str], make_config: Compose, tmp_path: Path
) -> None:
    folder, _ = uninterrupted
    scores, objects = pretrain(make_config("only_validate=true", f"sam.weights={folder / 'sam.safetensors'}"))
    written = json.loads((folder / "metrics.json").read_text())["rows"]
    assert written == [{"prompt": name, "miou": score} for name, score in scores.items()]
    assert objects["trainer"].global_step == 0
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"csv", "metrics.json", "results.md"}


def test_only_validate_needs_weights_and_no_checkpoint(uninterrupted: tuple[Path, str], make_config: Compose) -> None:
    weights = uninterrupted[0] / "sam.safetensors"
    for overrides in ((), (f"sam.weights={weights}", "ckpt_path=last.ckpt")):
        with pytest.raises(ConfigError, match=r"only_validate: expected weights to score in sam\.weights"):
            pretrain(make_config("only_validate=true", *overrides))


def test_the_curves(uninterrupted: tuple[Path, str]) -> None:
    (log,) = (uninterrupted[0] / "csv").glob("version_*/metrics.csv")
    header = log.read_text().splitlines()[0].split(",")
    expected = {f"val/{name}/miou" for name in ("box", "point", "filled_box")}
    expected |= {"train/loss", "train/round_1/multi", "train/round_3/miou", "lr-AdamW/encoder", "lr-AdamW/decoder"}
    assert expected <= set(header)


def test_sigkill_in_mid_run(uninterrupted: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    ended = run(folder, signal_at("on_train_batch_end", 2, signal.SIGKILL))
    assert ended.returncode == -signal.SIGKILL
    assert not (folder / "sam.safetensors").exists()
    run(folder).check_returncode()
    assert_same_run(folder, uninterrupted[0])


@pytest.mark.parametrize("steps", [2, 3, 5, STEPS])
def test_resuming_after_any_step(
    uninterrupted: tuple[Path, str], tmp_path: Path, make_config: Compose, steps: int
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    pretrain(make_config(f"trainer.max_steps={steps}", folder=first))
    pretrain(make_config(f"ckpt_path={first / 'checkpoints' / 'last.ckpt'}", folder=second))
    if steps == STEPS:
        # nothing was left to do, and nothing was saved again
        (second / "checkpoints").mkdir(exist_ok=True)
        os.link(first / "checkpoints" / "last.ckpt", second / "checkpoints" / "last.ckpt")
    assert_same_run(second, uninterrupted[0])
    before = read_checkpoint(first / "checkpoints" / "last.ckpt")["callbacks"]["FitClock"]["seconds"]
    run = json.loads((second / "metrics.json").read_text())["run"]
    assert before > 0
    assert run["fit_seconds"] >= round(before, 1)


def test_batchnorm_resumes_and_ships_its_averaged_statistics(tmp_path: Path, make_config: Compose) -> None:
    tiny = ["sam=nano_vit", "sam.image_size=64", "sam.embed_dim=32", "sam.mlp_dim=64", "trainer.val_check_interval=100"]
    tiny += ["sam.encoder.embed_dims=[8,8,16,16]", "sam.encoder.depths=[1,1,1,1]", "sam.encoder.num_heads=[1,1,2,2]"]
    whole, first, second = (tmp_path / name for name in ("whole", "first", "second"))
    pretrain(make_config(*tiny, folder=whole))
    pretrain(make_config(*tiny, "trainer.max_steps=5", folder=first))
    pretrain(make_config(*tiny, f"ckpt_path={first / 'checkpoints' / 'last.ckpt'}", folder=second))
    assert_same_run(second, whole)
    checkpoint = read_checkpoint(whole / "checkpoints" / "last.ckpt")
    average, current = (checkpoint[key] for key in ("state_dict", "current_model_state"))
    statistics = [name for name in average if name.endswith("running_mean")]
    assert any((average[name] - current[name]).abs().max() > 1e-5 for name in statistics)
    shipped = load_file(whole / "sam.safetensors")
    assert all(torch.equal(shipped[name.removeprefix("model.sam.")], average[name].half()) for name in statistics)


def test_the_loss_of_one_batch_falls(make_config: Compose) -> None:
    module, datamodule = build(make_config("scheduler.total_steps=1000", "precision=fp32"))
    module.log = module.log_dict = lambda *arguments, **options: None  # type: ignore[method-assign]
    batch = next(iter(datamodule.train_dataloader()))
    optimizer = module.configure_optimizers()["optimizer"]
    losses = []
    for step in range(40):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3
        loss = module.train().training_step(batch, step)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_a_changed_recipe_is_refused(uninterrupted: tuple[Path, str], make_config: Compose) -> None:
    checkpoint = uninterrupted[0] / "checkpoints" / "last.ckpt"
    changes = ("rounds=2", "optimizer.lr=0.01", "trainer.gradient_clip_val=0.5")
    message = (
        "optimizer.lr: 0.0006 before, 0.01 now; rounds: 3 before, 2 now; trainer.gradient_clip_val: 1.0 before, 0.5"
    )
    with pytest.raises(CheckpointError, match=message):
        pretrain(make_config(f"ckpt_path={checkpoint}", *changes))


def test_another_commands_checkpoint_is_refused(tmp_path: Path, make_config: Compose) -> None:
    tiny = ("sam=tiny_random", "trainer=cpu", "data.train_size=2", "data.val_size=1", "batch.total=2")
    short = ("trainer.max_epochs=1", "loader.num_workers=0", "loss.num_points=64", "~callbacks.progress_bar")
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train", overrides=[*tiny, *short, f"paths.output_dir={tmp_path / 'train'}"])
    train(config)
    checkpoint = tmp_path / "train" / "checkpoints" / "last.ckpt"
    with pytest.raises(CheckpointError, match="expected a checkpoint that pretrain wrote"):
        pretrain(make_config(f"ckpt_path={checkpoint}"))


def test_train_refuses_a_pretraining_checkpoint(uninterrupted: tuple[Path, str], tmp_path: Path) -> None:
    checkpoint = uninterrupted[0] / "checkpoints" / "last.ckpt"
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        tiny = ("sam=tiny_random", "trainer=cpu", "data.train_size=40", "data.val_size=1", f"ckpt_path={checkpoint}")
        config = compose("train", overrides=[*tiny, f"paths.output_dir={tmp_path}", "~callbacks.progress_bar"])
    with pytest.raises(CheckpointError, match="expected a checkpoint that train wrote; it is one of pretrain"):
        train(config)


def test_a_folder_with_a_run_is_not_overwritten(uninterrupted: tuple[Path, str], make_config: Compose) -> None:
    with pytest.raises(ConfigError, match="expected a folder without a run"):
        pretrain(make_config(folder=uninterrupted[0]))


def test_many_devices_are_refused(make_config: Compose) -> None:
    with pytest.raises(ConfigError, match=r"trainer.devices: expected one device for pretraining; got 2"):
        pretrain(make_config("trainer.devices=2"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rounds=0", "rounds: expected an integer from 1 to 1000; got 0"),
        ("sam.precision=bf16", "sam.precision: expected fp32, .*; set precision=bf16"),
        ("precision=fp8", "precision: expected one of fp32, bf16; got 'fp8'"),
        ("start_share=0.5", r"start_share: expected 0 for a run that does not begin with a trained SAM; got 0\.5"),
        ("start_share=1", r"start_share: expected a number in \[0, 1\); got 1"),
        ("batch_size=12", "batch_size: expected at most the 11 training samples"),
        ("scheduler.warmup_steps=8", "scheduler.warmup_steps, trainer.max_steps"),
    ],
)
def test_values_that_cannot_work(make_config: Compose, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pretrain(make_config(override))


def test_debug_takes_two_steps(make_config: Compose) -> None:
    _, objects = pretrain(make_config("debug=fast"))
    assert objects["trainer"].global_step == 2


def test_the_default_recipe_composes() -> None:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("pretrain", overrides=["paths.output_dir=unused"])
    assert config.sam.weights == "imagenet"
    assert config.data.masks == "coarse"
    assert config.scheduler.total_steps == config.trainer.max_steps
    scenes = config.trainer.max_steps * config.batch_size
    assert scenes <= config.data.train_size, "no scene comes twice"
