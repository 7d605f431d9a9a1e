"""Parts of a user's own, as docs/extending.md has them; and bugs in such parts, which show where they are."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

import hqsam_lightning
from conftest import ROOT
from hqsam_lightning.cli import fail
from hqsam_lightning.config import conf_dir
from hqsam_lightning.report import report
from patience import PATIENCE

SMALL = (
    *("sam=tiny_random", "trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1", "batch.total=2"),
    *("data.holdout=1", "loader.num_workers=0", "loss.num_points=16", "~callbacks.progress_bar"),
)
TINY = (
    *(
        "setting=paper",
        "trainer=cpu",
        "sam=tiny_random",
        "trainer.max_epochs=1",
        "data.train_size=2",
        "data.val_size=1",
    ),
    *("batch.total=2", "loader.num_workers=0", "loss.num_points=16", "~callbacks.progress_bar"),
)


def write_parts(folder: Path) -> None:
    """The files of docs/extending.md, and photos for its source."""
    text = (ROOT / "docs" / "extending.md").read_text()
    for name, block in re.findall(r"^`([\w./]+)`:\n\n((?:    .*\n|\n)+)", text, flags=re.M):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(re.sub(r"^    ", "", block, flags=re.M))
    rng = np.random.default_rng(0)
    for part in ("photos", "masks"):
        (folder / "leaves" / part).mkdir(parents=True)
    for number in range(3):
        Image.fromarray(rng.integers(0, 255, (48, 48, 3), np.uint8)).save(
            folder / "leaves" / "photos" / f"{number}.png"
        )
        mask = np.zeros((48, 48), np.uint8)
        mask[8:40, 8 : 30 + number] = 255
        Image.fromarray(mask).save(folder / "leaves" / "masks" / f"{number}.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    """A run of the experiment, all of whose parts are outside the package."""
    folder = tmp_path_factory.mktemp("outside")
    write_parts(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("WANDB_MODE", "offline")
        search = f"hydra.searchpath=[file://{folder / 'configs'}]"
        config = hqsam_lightning.compose(
            ["+experiment=mine", "logger=wandb", f"paths.data_dir={folder}", *SMALL, search], output_dir=folder / "run"
        )
        yield folder / "run", config, hqsam_lightning.train(config)[1]


def test_an_experiment_outside_is_the_miniature_with_its_parts(trained) -> None:
    config = trained[1]
    assert (config.name, config.setting, config.optimizer.lr) == ("mine", "miniature", 3e-3)


def test_a_head_outside(trained) -> None:
    _, _, objects = trained
    head = objects["module"].heads["sharp"]
    assert type(head).__module__ == "mine"
    assert head.factor == 3.0


def test_a_source_outside(trained) -> None:
    assert "2 images of 1 source" in trained[2]["datamodule"].sets.describe()


def test_a_metric_outside(trained) -> None:
    assert "precision" in (trained[0] / "results.md").read_text()
    assert "precision" in (trained[0] / "scores.csv").read_text()
    objects = trained[2]
    objectives, logged = objects["module"].objectives, objects["trainer"].logged_metrics
    assert objectives
    assert all(f"val/{variant}/precision" in logged for variant in objectives)
    assert all("precision" in values for values in objectives.values())


def test_a_metric_outside_is_reported_and_logged_to_wandb(trained, tmp_path: Path) -> None:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        report(compose("report", overrides=[f"runs=[{trained[0]}]", f"out={tmp_path / 'out'}"]))
    for name in ("report.md", "report.html"):
        assert "mIoU / mBIoU / precision in percent" in (tmp_path / "out" / name).read_text()
    (table,) = (trained[0] / "wandb").glob("offline-run-*/files/media/table/results_*.table.json")
    assert {line[6] for line in json.loads(table.read_text())["data"]} == {"iou", "boundary_iou", "precision"}


def test_a_callback_outside(trained) -> None:
    assert (trained[0] / "note.txt").read_text() == "1 steps"


def test_a_logger_outside(trained) -> None:
    (metrics,) = (trained[0] / "table").rglob("metrics.csv")
    assert "val/" in metrics.read_text()


HEAD = """from hqsam_lightning.heads import HQHead


class Mine(HQHead):
    def __init__(self, sam, seed):
        super().__init__(sam, seed=seed)
        {init}

    def decode(self, *arguments):
        {decode}
        return super().decode(*arguments)
"""
CALLBACK = """from lightning.pytorch.callbacks import Callback


class Mine(Callback):
    def on_train_start(self, trainer, pl_module):
        trainer.no_such_thing
"""
METRIC = """def mine(pred, target, ignore):
    return pred.no_such_thing
"""
BUGS = {
    "head_init": (HEAD.format(init="seed.no_such_thing", decode="pass"), "+variants.mine._target_={name}.Mine"),
    "head_decode": (HEAD.format(init="pass", decode="self.no_such_thing"), "+variants.mine._target_={name}.Mine"),
    "callback": (CALLBACK, "+callbacks.mine._target_={name}.Mine"),
    "metric": (
        METRIC,
        "+metrics.mine={{_target_:hqsam_lightning.metrics.registry.Metric,label:mine,"
        "function:{{_target_:{name}.mine,_partial_:true}}}}",
    ),
}


@pytest.mark.parametrize("what", BUGS)
def test_a_bug_outside_shows_its_file_and_line(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, override = BUGS[what]
    name = f"outside_{what}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = hqsam_lightning.compose([*TINY, override.format(name=name)], output_dir=tmp_path / "run")
    with pytest.raises(Exception, match="no_such_thing") as caught:
        hqsam_lightning.train(config)
    with pytest.raises(SystemExit):
        fail(caught.value)
    shown = capsys.readouterr().err
    (line,) = [number for number, text in enumerate(code.splitlines(), start=1) if "no_such_thing" in text]
    assert f'File "{tmp_path / name}.py", line {line}' in shown
    assert "AttributeError" in shown


def test_the_command_finds_modules_and_configs_where_it_is_started(tmp_path: Path) -> None:
    write_parts(tmp_path)
    command = [
        sys.executable,
        "-c",
        "import sys; sys.path.remove(''); from hqsam_lightning.__main__ import main; main()",
    ]
    arguments = [
        "train",
        "--config-dir",
        "configs",
        "+experiment=mine",
        "paths.data_dir=.",
        "hydra.run.dir=run",
        *SMALL,
    ]
    done = subprocess.run(
        [*command, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "note.txt").read_text() == "1 steps"
    assert "'+experiment=[hqsam_vit_l, mine]'" in done.stdout + done.stderr, "how to run the paper's setting"
