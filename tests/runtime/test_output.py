"""Output whose reader has ended, as in `| head`."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TextIO

import pytest

from hqsam_lightning.runtime.output import stop_without_reader
from hqsam_lightning.runtime.signals import Stopped
from patience import PATIENCE

STATUS = 141


@contextmanager
def unread() -> Iterator[TextIO]:
    """Standard output is a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, redirect_stdout(stream):
        yield stream


def log_a_line() -> None:
    logger = logging.Logger("of_the_test")
    logger.addHandler(logging.StreamHandler(sys.stdout))
    logger.info("a line")


@pytest.mark.parametrize("write", [lambda: print("a line", flush=True), lambda: print("a line"), log_a_line])
def test_a_write_without_reader_stops(write: Callable[[], None]) -> None:
    with unread() as stream:
        with pytest.raises(Stopped) as stop, stop_without_reader():
            write()
        assert stop.value.code == STATUS
        assert sys.stdout is stream
        print("goes nowhere", flush=True)


def test_an_error_counts_less_than_the_missing_reader() -> None:
    with unread(), pytest.raises(Stopped), stop_without_reader():  # noqa: PT012
        print("a line")
        sys.exit(1)


def test_other_broken_pipes_are_errors() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError), stop_without_reader():
        os.write(writer, b"x")
    os.close(writer)


def test_streams_are_what_they_were(capsys: pytest.CaptureFixture) -> None:
    before = sys.stdout, sys.stderr
    with stop_without_reader():
        print("out")
        print("err", file=sys.stderr)
        assert sys.stdout.encoding == before[0].encoding
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("out\n", "err\n")


@pytest.mark.parametrize("arguments", ["--help", "scenes --help"])
def test_a_command_in_a_pipe_ends_quietly(arguments: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "hqsam_lightning", *arguments.split()]
    result = subprocess.run(command, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
    os.close(writer)
    assert (result.returncode, result.stderr) == (STATUS, b"")
