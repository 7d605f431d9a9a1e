"""Signals: at once where nothing is lost, else when the work looks; statuses as documented."""

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hqsam_lightning.signals import Stopped, raise_if_stopped, stop_on_signals, stop_requested, stops_deferred
from hqsam_lightning.training.stopping import stops_reported


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_at_once_where_nothing_is_lost(number: int, status: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as stop, stop_on_signals():
        send(number)
        raise AssertionError("not stopped")
    assert (stop.value.code, stop.value.signal) == (status, number)
    assert signal.getsignal(number) == before


def test_work_that_saves_looks_itself() -> None:
    done = []
    with pytest.raises(Stopped), stop_on_signals(), stops_deferred():
        send(signal.SIGTERM)
        send(signal.SIGTERM)  # again, as launchers do
        done.append(stop_requested())
        raise_if_stopped()
    assert done == [signal.SIGTERM]


def test_what_nobody_looked_at_counts_at_the_end() -> None:
    done = []
    with pytest.raises(Stopped), stop_on_signals():
        with stops_deferred():
            send(signal.SIGINT)
            done.append("saved")
        done.append("not reached")
    assert done == ["saved"]


def test_nested_uses_and_later_ones_begin_afresh() -> None:
    with pytest.raises(Stopped), stop_on_signals(), stop_on_signals():
        send(signal.SIGINT)
    with stop_on_signals():
        assert stop_requested() is None


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals():
            send(signal.SIGHUP)
            assert stop_requested() is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_thread_leaves_the_handlers_alone() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with stop_on_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


FORKS = """
import os, signal, sys, time
from hqsam_lightning.signals import stop_on_signals, stops_deferred
number = signal.Signals[sys.argv[1]]
with stop_on_signals(), stops_deferred():
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"x")
        time.sleep(0.2)
        os._exit(7)
    os.read(read, 1)
    os.kill(child, number)
    _, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 7), ("SIGUSR1", 7), ("SIGTERM", -15)])
def test_a_loading_process_ends_with_its_parent_and_by_sigterm(name: str, status: int) -> None:
    result = subprocess.run([sys.executable, "-c", FORKS, name], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [str(status)]


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scontrol that writes its arguments into a file; gives the file."""
    program, log = tmp_path / "bin" / "scontrol", tmp_path / "scontrol.log"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_PROCID", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    return log


@pytest.mark.parametrize(
    ("number", "environment", "expected"),
    [
        (signal.SIGUSR1, {"SLURM_JOB_ID": "17"}, "requeue 17\n"),
        (signal.SIGUSR1, {"SLURM_JOB_ID": "19", "SLURM_ARRAY_JOB_ID": "18", "SLURM_ARRAY_TASK_ID": "3"}, "requeue 18_3\n"),
        (signal.SIGUSR1, {}, None),
        (signal.SIGTERM, {"SLURM_JOB_ID": "17"}, None),
        (signal.SIGUSR1, {"SLURM_JOB_ID": "17", "RANK": "1"}, None),
    ],
)
def test_slurm_gets_its_job_back_on_sigusr1(
    scontrol: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    environment: dict[str, str],
    expected: str | None,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Stopped), stops_reported(None, "the command"):
        raise Stopped(number)
    assert (scontrol.read_text() if scontrol.exists() else None) == expected


def test_a_queue_that_does_not_take_the_job_is_a_warning(
    scontrol: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture
) -> None:
    (scontrol.parent / "bin" / "scontrol").write_text("#!/bin/sh\nexit 3\n")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with pytest.raises(Stopped) as stop, stops_reported(None, "the command"):
        raise Stopped(signal.SIGUSR1)
    assert stop.value.code == 138
    assert "SLURM job 17 could not be put back" in caplog.text
    assert "stopped by SIGUSR1 before anything was saved; begin again with: the command" in capsys.readouterr().err
