"""How a command ends on an error: one message for ours and Hydra's, the traceback for a bug in code of a user."""

import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError

from hqsam_lightning.cli import clean_errors, fail, run_hydra
from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import ConfigError, DataError, WeightsError
from launched import run_command

BROKEN = {"variants": {"mine": {"_target_": "schema.parts.BrokenHead", "sam": None, "seed": 1}}}


def instantiation_error(config: dict) -> InstantiationException:
    with pytest.raises(InstantiationException) as caught:
        instantiate(OmegaConf.create(config))
    return caught.value


def ending(error: BaseException, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        fail(error)
    assert stop.value.code == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("kind", [ConfigError, DataError, WeightsError])
def test_an_error_of_ours_is_one_line(kind: type, capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(kind("seed: expected x; got y"), capsys) == "error: seed: expected x; got y\n"


def test_an_error_of_ours_behind_hydras(capsys: pytest.CaptureFixture[str]) -> None:
    node = {"_target_": "hqsam_lightning.prompts.PromptMix", "mix": {"box": 1}, "num_points": 0}
    error = instantiation_error({"prompts": {"_target_": "builtins.dict", "inner": node}})
    assert ending(error, capsys) == "error: prompts.num_points: expected an integer >= 1; got 0\n"


def test_a_bug_of_a_user_shows_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ending(instantiation_error(BROKEN), capsys)
    assert "AttributeError: 'int' object has no attribute 'shape'" in shown
    assert "parts.py" in shown
    assert "in build" in shown
    assert "print(size.shape)" in shown
    assert "variants.mine" in shown


def test_an_error_of_ours_that_a_user_handled_hides_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        try:
            raise ConfigError("handled")
        except ConfigError:
            raise KeyError("the bug")  # noqa: B904
    except KeyError as error:
        shown = ending(error, capsys)
    assert "KeyError: 'the bug'" in shown
    assert "Traceback" in shown


@pytest.mark.parametrize(
    ("key", "value"), [("gradient_clip_algorithm", "middle"), ("strategy", "nothing"), ("num_nodes", "many")]
)
def test_what_lightning_refuses_is_one_message(key: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = {"_target_": "lightning.Trainer", "accelerator": "cpu", "devices": 1, "logger": False}
    shown = ending(instantiation_error({"trainer": {**trainer, key: value}}), capsys)
    assert shown.startswith("error: trainer: Lightning cannot run this: ")
    assert value in shown
    assert "Traceback" not in shown


def test_omegaconfs_error_is_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InterpolationKeyError) as caught:
        OmegaConf.to_container(OmegaConf.create({"a": "${b}"}), resolve=True)
    shown = ending(caught.value, capsys)
    assert "Interpolation key 'b' not found" in shown
    assert "Traceback" not in shown


def test_an_error_of_a_loading_process_is_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "Caught DataError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
        '  File "reading.py", line 1, in read\nhqsam_lightning.errors.DataError: x.jpg: expected a photo; got none\n'
    )
    assert ending(DataError(text), capsys) == "error: x.jpg: expected a photo; got none\n"


def test_only_errors_of_ours_end_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    def task(config: object) -> None:
        raise config  # type: ignore[misc]

    with pytest.raises(SystemExit):
        clean_errors(task)(ConfigError("mine"))
    for error in (ValueError("theirs"), KeyboardInterrupt(), instantiation_error(BROKEN)):
        with pytest.raises(type(error)):
            clean_errors(task)(error)


def test_errors_outside_a_task_end_alike(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin's, such as that of a search."""
    monkeypatch.setattr(sys, "argv", ["train"])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def entry() -> None:
        raise ConfigError("hydra.sweeper.n_trials: expected an integer >= 1; got 0")

    with pytest.raises(SystemExit):
        run_hydra(entry, "train")
    assert capsys.readouterr().err == "error: hydra.sweeper.n_trials: expected an integer >= 1; got 0\n"


@pytest.mark.parametrize("override", ["callbacks=null", "+experiment=3", "prompts@val_prompts.box=true"])
def test_what_hydra_says_of_a_group_is_one_message(
    override: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", override])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def entry() -> None:
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            compose("train", overrides=[override])

    with pytest.raises(SystemExit):
        run_hydra(entry, "train")
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert f"{override.split('=')[0]}: expected one of" in shown


def test_a_user_who_wants_every_frame_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def entry() -> None:
        raise ConfigError("whole")

    with pytest.raises(ConfigError):
        run_hydra(entry, "train")


def test_a_command_shows_a_users_bug(tmp_path: Path) -> None:
    (tmp_path / "mymod.py").write_text(
        "from hqsam_lightning.heads import HQHead\n\n\nclass Mine(HQHead):\n    def __init__(self, sam, seed):\n"
        "        super().__init__(sam, seed=seed)\n        seed.shape\n"
    )
    tiny = ("setting=paper", "sam=tiny_random", "trainer=cpu", "data.train_size=2", "data.val_size=1", "batch.total=2")
    done = run_command("hqsam_lightning.train", *tiny, "+variants.mine._target_=mymod.Mine", cwd=tmp_path)
    assert done.returncode == 1
    assert "mymod.py" in done.stderr
    assert "seed.shape" in done.stderr
    assert "variants.mine" in done.stderr
