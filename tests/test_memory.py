"""Freed memory stays with a process that asks for it."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import sys
import numpy as np
from hqsam_lightning.memory import keep_freed_memory

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
    assert kept >= 2**26
