"""Freed memory stays with a process that asks for it; its peak is known, or None, and never an error."""

import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hqsam_lightning.runtime import memory
from hqsam_lightning.runtime.memory import peak_memory

PROGRAM = """
import sys
import numpy as np
from hqsam_lightning.runtime.memory import keep_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

if sys.argv[1] == "keep":
    keep_freed_memory()
before = resident()
np.ones(2**26, np.uint8)
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_blocks_stay() -> None:
    left, kept = (
        int(subprocess.run([sys.executable, "-c", PROGRAM, what], capture_output=True, check=True, text=True).stdout)
        for what in ("leave", "keep")
    )
    assert left < 2**24
    # all of the 64 MiB; meanwhile the kernel may have taken a few pages of something else
    assert kept >= 2**26 - 2**20


def test_the_peak_of_a_cpu_run_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a machine with a GPU that the run does not use."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for device in (torch.device("cpu"), torch.device("mps"), None):
        assert (peak_memory(device) or 0) > 2**26


@pytest.mark.parametrize("content", [None, "", "VmHWM:\n", "VmHWM: many kB\n", "VmPeak: 5 kB\n", "no colon\n"])
def test_without_the_status_of_linux_the_usage_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    status = tmp_path / "status"
    if content is not None:
        status.write_text(content)
    monkeypatch.setattr(memory, "STATUS", status)
    peak = peak_memory(torch.device("cpu"))
    assert peak is not None
    assert peak > 2**26


@pytest.mark.parametrize(("platform", "unit"), [("darwin", 1), ("linux", 1024), ("freebsd14", 1024)])
def test_usage_is_in_bytes_on_macos_and_in_kib_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, unit: int
) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(memory, "STATUS", tmp_path / "absent")
    monkeypatch.setattr(memory.sys, "platform", platform)
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=3000))
    assert peak_memory() == 3000 * unit


def test_where_the_system_reports_nothing_the_peak_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "STATUS", tmp_path / "absent")
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory() is None
