"""Signals: at once where nothing is lost, else when the work looks; statuses as documented."""

import os
import signal
import stat
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest

from hqsam_lightning.runtime.signals import Stopped, raise_if_stopped, stop_on_signals, stop_requested, stops_deferred
from hqsam_lightning.training.stopping import stops_reported
from patience import PATIENCE


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def work(numbers: list[int], deferred: bool, looks: bool = False) -> list[object]:
    """Gets the signals in the midst of what it does; tells how far it came."""
    done: list[object] = []
    with pytest.raises(Stopped) as stop, stop_on_signals():  # noqa: PT012
        with stops_deferred() if deferred else nullcontext():
            for number in numbers:
                send(number)
            done.append(stop_requested())
            if looks:
                raise_if_stopped()
            done.append("saved")
        done.append("not reached")
    return [*done, stop.value.code]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_at_once_where_nothing_is_lost(number: int, status: int) -> None:
    before = signal.getsignal(number)
    assert work([number], deferred=False) == [status]
    assert signal.getsignal(number) == before


def test_work_that_saves_looks_itself() -> None:
    # launchers send it again
    assert work([signal.SIGTERM, signal.SIGTERM], deferred=True, looks=True) == [signal.SIGTERM, 143]


def test_what_nobody_looked_at_counts_at_the_end() -> None:
    assert work([signal.SIGINT], deferred=True) == [signal.SIGINT, "saved", 130]


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
import os, signal, sys
from hqsam_lightning.runtime.signals import stop_on_signals, stops_deferred
number = signal.Signals[sys.argv[1]]
with stop_on_signals(), stops_deferred():
    (ready, tell_ready), (wait, let_go) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tell_ready, b"x")
        os.read(wait, 1)
        os._exit(7)
    os.read(ready, 1)
    os.kill(child, number)
    if number != signal.SIGTERM:
        os.write(let_go, b"x")
    _, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 7), ("SIGUSR1", 7), ("SIGTERM", -15)])
def test_a_loading_process_ends_with_its_parent_and_by_sigterm(name: str, status: int) -> None:
    result = subprocess.run([sys.executable, "-c", FORKS, name], capture_output=True, text=True, timeout=PATIENCE)
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
        (
            signal.SIGUSR1,
            {"SLURM_JOB_ID": "19", "SLURM_ARRAY_JOB_ID": "18", "SLURM_ARRAY_TASK_ID": "3"},
            "requeue 18_3\n",
        ),
        (signal.SIGUSR1, {}, None),
        (signal.SIGTERM, {"SLURM_JOB_ID": "17"}, None),
        (signal.SIGUSR1, {"SLURM_JOB_ID": "17", "RANK": "1"}, None),
    ],
)
def test_slurm_gets_its_job_back_on_sigusr1(
    scontrol: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    environment: dict[str, str],
    expected: str | None,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Stopped), stops_reported(None, "the command", tmp_path):
        raise Stopped(number)
    assert (scontrol.read_text() if scontrol.exists() else None) == expected


def test_a_finished_run_is_not_put_back(
    scontrol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    (tmp_path / "metrics.json").touch()
    with pytest.raises(Stopped), stops_reported(None, "the command", tmp_path):
        raise Stopped(signal.SIGUSR1)
    assert not scontrol.exists()
    assert f"SIGUSR1 came when the run was over: results in {tmp_path}" in capsys.readouterr().err


def test_a_queue_that_does_not_take_the_job_is_a_warning(
    scontrol: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (scontrol.parent / "bin" / "scontrol").write_text("#!/bin/sh\nexit 3\n")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with pytest.raises(Stopped) as stop, stops_reported(None, "the command", tmp_path):
        raise Stopped(signal.SIGUSR1)
    assert stop.value.code == 138
    assert "SLURM job 17 could not be put back" in caplog.text
    assert "stopped by SIGUSR1 before anything was saved; begin again with: the command" in capsys.readouterr().err
