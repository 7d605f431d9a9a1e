"""Memory of this process: the most it took, and what the C library does with what is freed."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

import torch

# of malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Tells glibc to keep the memory of large blocks for the next ones, for the rest of the process.

    By default it returns them to the system, and fresh pages for the next photo take a third of the time that reading
    one takes. Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)


def peak_memory() -> int:
    """Most bytes that this process had at a time: on the GPU where there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    # not getrusage, which begins with what the parent process had
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024
