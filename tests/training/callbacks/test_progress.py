"""Training and validation log lines where no terminal shows a bar."""

import logging
import math
from types import SimpleNamespace

import pytest
import torch

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.training.callbacks import progress
from hqsam_lightning.training.callbacks.progress import ProgressLines, TerminalProgressBar

BATCH = SimpleNamespace(images=torch.zeros(4, 3, 2, 2))


def make_trainer(total: float = 20, rank: int = 0) -> SimpleNamespace:
    return SimpleNamespace(
        global_step=0,
        world_size=2,
        current_epoch=1,
        is_global_zero=rank == 0,
        sanity_checking=False,
        estimated_stepping_batches=total,
        num_val_batches=[3, 2],
        callback_metrics={"train/loss": torch.tensor(0.123456)},
    )


def run(callback: ProgressLines, trainer: SimpleNamespace, steps: int, accumulate: int = 1) -> None:
    callback.on_train_start(trainer, None)
    for batch in range(steps * accumulate):
        trainer.global_step += (batch + 1) % accumulate == 0
        callback.on_train_batch_end(trainer, None, None, BATCH, batch)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("every", "accumulate", "expected"),
    [(None, 1, [2, 3, *range(4, 21, 2)]), (10, 1, [3, 10, 20]), (7, 3, [3, 7, 14, 20])],
)
def test_lines_come_once_a_step_that_is_due(caplog, every: int | None, accumulate: int, expected: list[int]) -> None:
    with caplog.at_level(logging.INFO):
        run(ProgressLines(every, every_seconds=1e9), make_trainer(), 20, accumulate)
    found = lines(caplog)
    assert [int(line.split()[1].split("/")[0]) for line in found] == expected
    assert found[-1].startswith("step 20/20 (100 %), epoch 2, loss 0.1235, ")
    assert found[-1].endswith(" images/s, 0:00 left")


def test_a_run_without_an_end_has_no_remaining_time(caplog) -> None:
    with caplog.at_level(logging.INFO):
        run(ProgressLines(5), make_trainer(math.inf), 10)
    assert [line.split(",")[0] for line in lines(caplog)] == ["step 3", "step 5", "step 10"]
    assert "left" not in caplog.text


def test_a_long_validation_has_lines_and_a_short_one_none(caplog) -> None:
    for every, count in ((1e9, 0), (1e-9, 5)):
        caplog.clear()
        callback, trainer = ProgressLines(every_seconds=every), make_trainer()
        with caplog.at_level(logging.INFO):
            callback.on_validation_start(trainer, None)
            for number in range(5):
                callback.on_validation_batch_end(trainer, None, None, BATCH, number % 3, number // 3)
            callback.on_validation_end(trainer, None)
        assert len(lines(caplog)) == count
    assert lines(caplog)[0].startswith("validation: batch 1/5, ")
    assert lines(caplog)[-1] == "validation: batch 5/5, 0:00 left"


@pytest.mark.parametrize(("terminal", "rank"), [(True, 0), (False, 1)])
def test_a_terminal_and_further_ranks_have_no_lines(caplog, monkeypatch, terminal: bool, rank: int) -> None:
    monkeypatch.setattr(progress, "has_terminal", lambda: terminal)
    with caplog.at_level(logging.INFO):
        run(ProgressLines(1), make_trainer(rank=rank), 5)
    assert not caplog.records


@pytest.mark.parametrize("terminal", [True, False])
def test_the_bar_is_for_terminals(monkeypatch, terminal: bool) -> None:
    monkeypatch.setattr(progress, "has_terminal", lambda: terminal)
    assert TerminalProgressBar().is_enabled == terminal


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every_n_steps": 0}, r"callbacks\.progress\.every_n_steps: expected an integer >= 1, or null; got 0"),
        ({"every_seconds": 0}, r"callbacks\.progress\.every_seconds: expected a finite number > 0; got 0"),
        ({"every_seconds": math.nan}, r"callbacks\.progress\.every_seconds: expected a finite number > 0; got nan"),
    ],
)
def test_intervals_are_positive(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ProgressLines(**options)
