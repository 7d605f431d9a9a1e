"""A log file that cannot be written costs its lines and nothing else."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from hqsam_lightning.runtime.log_file import LogFile


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.Logger("of a run")
    yield made
    for handler in made.handlers:
        handler.close()


def test_lines_are_written(tmp_path: Path, logger: logging.Logger) -> None:
    logger.addHandler(LogFile(tmp_path / "train.log", delay=True))
    logger.warning("a %s", "line")
    assert (tmp_path / "train.log").read_text() == "a line\n"


def test_a_full_disk_is_reported_once(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logger.addHandler(LogFile("/dev/full", delay=True))
    for number in range(3):
        logger.warning("line %s", number)
    printed = capsys.readouterr().err
    assert printed.count("/dev/full: cannot be written ([Errno 28] No space left on device)") == 1
    assert "Traceback" not in printed


def test_a_folder_that_is_not_there_is_reported_once(
    tmp_path: Path, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.addHandler(LogFile(tmp_path / "absent" / "train.log", delay=True))
    for number in range(3):
        logger.warning("line %s", number)
    assert capsys.readouterr().err.count("train.log: cannot be written") == 1


def test_a_bug_in_a_message_stays_visible(
    tmp_path: Path, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.addHandler(LogFile(tmp_path / "train.log"))
    logger.warning("%d", "no number")
    assert "TypeError" in capsys.readouterr().err
