"""Each variant's best validation is kept with its scores, and survives a resume."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pandas as pd
import pytest

from hqsam_lightning.errors import CheckpointError
from hqsam_lightning.evaluation.table import make_table
from hqsam_lightning.metrics import Metric, mask_iou
from hqsam_lightning.train import train
from hqsam_lightning.training.callbacks.best_checkpoint import (
    BestCheckpoints,
    Choice,
    read_best_scores,
    write_best_scores,
)
from hqsam_lightning.training.module import HQSamModule

FILE = "hq.json"
CHOICE = Choice(4, 50, "mine", 0.1 + 0.2)
TABLE = make_table(
    [
        ("run", *row, "a, b", "a/café $|", 1, "box", "mine", value, 0.7, "a")
        for row, value in ((("sam", "sam"), 1 / 3), (("hq", "hq"), 0.30000000000000004))
    ]
)
TINY = (
    *("sam=tiny_random", "trainer=cpu", "data.train_size=4", "data.val_size=2", "batch.total=2"),
    *("loader.num_workers=0", "loss.num_points=64", "trainer.num_sanity_val_steps=0", "callbacks.last.every_n_steps=1"),
)


def test_scores_come_back_to_the_last_digit(tmp_path: Path) -> None:
    write_best_scores(tmp_path / FILE, CHOICE, TABLE)
    choice, table = read_best_scores(tmp_path / FILE)
    assert choice == CHOICE
    pd.testing.assert_frame_equal(table, TABLE)


@pytest.mark.parametrize(
    ("old", "new"), [('"step": 50', '"step": 51'), ("0.7", "0.8"), ("hqsam_lightning/best", "other/best"), ("}", "")]
)
def test_a_changed_file_is_refused(tmp_path: Path, old: str, new: str) -> None:
    write_best_scores(tmp_path / FILE, CHOICE, TABLE)
    text = (tmp_path / FILE).read_text()
    assert old in text
    (tmp_path / FILE).write_text(text.replace(old, new))
    with pytest.raises(CheckpointError, match=r"hq\.json: .*scores of this checkpoint are left out"):
        read_best_scores(tmp_path / FILE)


def validate(callback: BestCheckpoints, epoch: int, greater_is_better: bool = True, **values: float) -> list[str]:
    """Runs the callback after a validation with these scores; gives the variants that it saved."""
    metrics = {"mine": Metric("Mine", function=mask_iou, greater_is_better=greater_is_better)}
    objectives = {name: {"mine": value} for name, value in values.items()}
    module = mock.Mock(spec=HQSamModule, scorer=SimpleNamespace(metrics=metrics), objectives=objectives, scores=TABLE)
    strategy = mock.Mock()
    trainer = SimpleNamespace(
        sanity_checking=False,
        strategy=strategy,
        is_global_zero=True,
        fit_loop=SimpleNamespace(epoch_progress=SimpleNamespace(current=SimpleNamespace(ready=epoch + 1))),
        global_step=10 * epoch,
    )
    callback.on_validation_end(trainer, module)
    return [call.args[1].stem for call in strategy.save_checkpoint.call_args_list]


def test_each_variant_goes_by_its_own_score(tmp_path: Path) -> None:
    callback = BestCheckpoints(str(tmp_path), "mine")
    assert validate(callback, 0, a=0.5, b=0.5) == ["a", "b"]
    assert validate(callback, 1, a=0.6, b=0.4) == ["a"]
    assert validate(callback, 2, a=0.6, b=0.5) == [], "the first of equal ones is kept"
    assert validate(callback, 3, a=0.1, b=0.7) == ["b"]
    assert callback.chosen == {"a": Choice(1, 10, "mine", 0.6), "b": Choice(3, 30, "mine", 0.7)}


def test_where_less_is_better_the_least_is_best(tmp_path: Path) -> None:
    callback = BestCheckpoints(str(tmp_path), "mine")
    saved = [validate(callback, epoch, False, a=value) for epoch, value in enumerate((0.5, 0.6, 0.4))]
    assert saved == [["a"], [], ["a"]]


def test_what_was_chosen_is_taken_over_where_its_files_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = BestCheckpoints(str(tmp_path), "mine")
    validate(before, 2, a=0.6, b=0.5)
    (tmp_path / "a.ckpt").touch()
    after = BestCheckpoints(str(tmp_path), "mine")
    after.load_state_dict(before.state_dict())
    assert after.chosen == {"a": Choice(2, 20, "mine", 0.6)}
    assert "b.ckpt: the best weights of b so far are not there" in caplog.text
    pd.testing.assert_frame_equal(after.best["a"].table, TABLE[TABLE["variant"] == "sam"])
    other = BestCheckpoints(str(tmp_path), "another")
    other.load_state_dict(before.state_dict())
    assert other.chosen == {}, "values of another metric are not compared"


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_the_best_epoch_is_reported_also_after_a_resume(
    make_config, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Weights that do not change: the first of the equal validations is the best one."""
    folder = tmp_path / "run"
    recipe = (*TINY, "optimizer.lr=1e-30")
    train(make_config(*recipe, "trainer.max_epochs=1"))
    first = metrics(folder)
    assert (first["best"]["hq"]["step"], first["run"]["steps"]) == (2, 2)
    assert first["best"]["hq"]["scores"] == first["scores"]
    assert "These are the last weights." in (folder / "results.md").read_text()
    kept = (folder / "checkpoints" / "best" / FILE).read_bytes()
    capsys.readouterr()

    resumed = (*recipe, f"ckpt_path={folder / 'checkpoints' / 'last.ckpt'}")
    train(make_config(*resumed, "trainer.max_epochs=3"))
    second = metrics(folder)
    best = second["best"]["hq"]
    assert (best["epoch"], best["step"], second["run"]["steps"]) == (0, 2, 6)
    assert best["scores"] == first["scores"]
    assert (folder / "checkpoints" / "best" / FILE).read_bytes() == kept
    printed = capsys.readouterr().out
    assert printed.index("last weights") < printed.index("best weights")
    assert "is of epoch 1, step 2: boundary_iou" in printed

    (folder / "checkpoints" / "best" / FILE).unlink()
    with caplog.at_level(logging.WARNING):
        train(make_config(*resumed, "trainer.max_epochs=4"))
    assert "the scores of this checkpoint are left out" in caplog.text
    assert metrics(folder)["best"] == {}


def test_the_validation_after_the_last_step_counts_too(make_config, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(make_config(*TINY, "trainer.max_epochs=1", "trainer.check_val_every_n_epoch=5"))
    left = metrics(folder)
    best = left["best"]["hq"]
    assert (best["epoch"], best["step"]) == (0, left["run"]["steps"])
    assert best["scores"] == left["scores"]
    assert (folder / "checkpoints" / "best" / "hq.ckpt").is_file()
