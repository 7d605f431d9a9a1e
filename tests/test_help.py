"""`--help`, and the command `hqsam`."""

import subprocess
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from hqsam_lightning.config import conf_dir
from hqsam_lightning.help import COMMANDS, command_help, read_comments
from launched import run_command

CONF = Path(conf_dir())


def keys_of(text: str) -> dict[str, str]:
    """Keys in the last section, with the comment below each."""
    found, key = {}, ""
    for line in text.split("\nkeys:\n")[1].splitlines():
        if line.startswith("      "):
            found[key] += line.strip() + " "
        else:
            key = line.strip().partition("=")[0]
            found[key] = ""
    return found


def test_help_explains_keys_by_their_comments(make_config) -> None:
    shown = command_help(
        "train", "train", ["--help", "+experiment=ablate_features", "prompts.mix={box: 1}"], conf_dir()
    )
    keys = keys_of(shown)
    config = make_config("+experiment=ablate_features")
    assert {name.partition(".")[0] for name in keys} == {str(name) for name in config}
    assert "Images per optimiser step." in keys["batch.total"]
    assert "conv (the paper), none" in keys["variants.decoder_final_early.fusion"]
    assert "56 * 56" in keys["loss.num_points"], "a comment beside the value"
    assert "batch.total=8" in shown
    assert "hqsam train '+experiment=[hqsam_vit_l, ablate_features]'" in shown


def test_help_names_experiments_and_choices() -> None:
    shown = command_help("train", "train", [], conf_dir())
    for path in (CONF / "experiment").glob("*.yaml"):
        assert f"\n  {path.stem} " in shown
        assert read_comments(path)[""], f"{path} says what it is"
    assert "\n  sam=nano|nano_256|nano_vit|tiny_random|vit_b|vit_h|vit_l|vit_tiny\n" in shown


def test_help_shows_configs_of_a_users_own(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\n# My own. With more.\nname: mine\n")
    shown = command_help("train", "train", ["--config-dir", str(tmp_path), "+experiment=mine"], conf_dir())
    assert "\n  mine                    My own.\n" in shown
    assert "\n  name=mine\n" in shown


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "precompute"])
def test_every_commands_help_shows_its_keys(command: str) -> None:
    name = command.replace(" ", "_")
    keys = keys_of(command_help(command, name, [], conf_dir()))
    own = OmegaConf.load(CONF / f"{name}.yaml")
    assert {str(key) for key in own if key not in ("defaults", "hydra")} <= {key.partition(".")[0] for key in keys}


def test_comments_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "# @package _global_\n# The file.\ndefaults:\n  - b\n\n# not of a key\n\n# of a,\n# two lines\na:\n"
        "  # inner\n  b: 1  # beside\n  c: '#no'\nd: 2\n"
    )
    found = read_comments(path)
    assert found[""] == "The file."
    assert {key: text for key, text in found.items() if text and key} == {"a": "of a, two lines", "a.b": "inner beside"}


def hqsam(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    return run_command("hqsam_lightning", *arguments, cwd=cwd)


def test_the_command_lists_commands(tmp_path: Path) -> None:
    assert all(f"\n  {name} " in hqsam("--help", cwd=tmp_path).stdout for name in COMMANDS)
    unknown = hqsam("trian", cwd=tmp_path)
    assert unknown.returncode == 1
    assert unknown.stderr == f"error: expected a command, one of {', '.join(COMMANDS)}; got 'trian'\n"


def test_the_command_runs_a_command(tmp_path: Path) -> None:
    result = hqsam("report", "runs=[gone]", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("error: runs")
    assert "usage: hqsam report" in hqsam("report", "--help", cwd=tmp_path).stdout
