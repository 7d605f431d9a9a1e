"""The scores of the best validation lie beside best.ckpt, and survive a resume."""

import json
import logging
from pathlib import Path

import pytest

from hqsam_lightning.errors import CheckpointError
from hqsam_lightning.evaluation.scores import BestScores, MaskScores
from hqsam_lightning.train import train
from hqsam_lightning.training.callbacks.best_checkpoint import FILE, read_best_scores, write_best_scores

ROWS = {("sam", "sam"): (0.1, 0.2), ("hq", "hq"): (1 / 3, 0.30000000000000004)}
BEST = BestScores(4, 50, "val/mbiou", 0.1 + 0.2, [MaskScores("a, b", "a/caf\udce9 $|", 1, 0.7, ROWS)])
TINY = (
    *("sam=tiny_random", "trainer=cpu", "data.train_size=4", "data.val_size=2", "batch.total=2"),
    *("loader.num_workers=0", "loss.num_points=64", "trainer.num_sanity_val_steps=0", "callbacks.last.every_n_steps=1"),
)


def test_scores_come_back_to_the_last_digit(tmp_path: Path) -> None:
    write_best_scores(tmp_path / FILE, BEST)
    assert read_best_scores(tmp_path / FILE) == BEST


@pytest.mark.parametrize(
    ("old", "new"), [('"step": 50', '"step": 51'), ("0.7", "0.8"), ("hqsam_lightning/best", "other/best"), ("}", "")]
)
def test_a_changed_file_is_refused(tmp_path: Path, old: str, new: str) -> None:
    write_best_scores(tmp_path / FILE, BEST)
    text = (tmp_path / FILE).read_text()
    assert old in text
    (tmp_path / FILE).write_text(text.replace(old, new))
    with pytest.raises(CheckpointError, match=r"best_scores\.json: .*the table of best\.ckpt is left out"):
        read_best_scores(tmp_path / FILE)


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_the_best_epoch_is_reported_also_after_a_resume(
    make_config, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The epoch with the smallest number counts as the best one here."""
    folder = tmp_path / "run"
    recipe = (*TINY, "optimizer.lr=1e-30", "callbacks.best.monitor=epoch", "callbacks.best.mode=min")
    train(make_config(*recipe, "trainer.max_epochs=1"))
    first = metrics(folder)
    assert (first["best"]["hq"]["step"], first["run"]["steps"]) == (2, 2)
    assert first["best"]["hq"]["scores"] == first["scores"]
    assert "These are the last weights." in (folder / "results.md").read_text()
    kept = (folder / "checkpoints" / FILE).read_bytes()
    capsys.readouterr()

    resumed = (*recipe, f"ckpt_path={folder / 'checkpoints' / 'best.ckpt'}")
    train(make_config(*resumed, "trainer.max_epochs=3"))
    second = metrics(folder)
    best = second["best"]["hq"]
    assert (best["epoch"], best["step"], second["run"]["steps"]) == (0, 2, 6)
    assert best["scores"] == first["scores"]
    assert (folder / "checkpoints" / FILE).read_bytes() == kept
    printed = capsys.readouterr().out
    assert printed.index("last weights") < printed.index("best weights")
    assert "the best checkpoint is of epoch 1, step 2: epoch 0.0000. The last weights are of step 6." in printed

    (folder / "checkpoints" / FILE).unlink()
    with caplog.at_level(logging.WARNING):
        train(make_config(*resumed, "trainer.max_epochs=4"))
    assert "the table of best.ckpt is left out" in caplog.text
    assert metrics(folder)["best"] is None
