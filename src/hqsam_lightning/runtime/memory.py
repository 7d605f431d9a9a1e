"""Memory of this process: its peak, and whether the C library keeps freed memory."""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path

import torch

# of malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
NEVER = 2**31 - 1

STATUS = Path("/proc/self/status")


def keep_freed_memory() -> None:
    """Makes glibc keep freed large blocks for the next ones, for the rest of the process.

    By default it returns them to the system, and fresh pages take a third of the time of reading the next photo. Other
    C libraries are not changed.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)


def peak_memory(device: torch.device | None = None) -> int | None:
    """Peak memory of this process in bytes; None if the system does not report it.

    Args:
        device: that the process computed on: for a CUDA device its allocated memory is returned, otherwise the resident
            memory of the process.
    """
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _peak_of_status() or _peak_of_usage()


def _peak_of_status() -> int | None:
    """On Linux; unlike getrusage, it does not include the peak of the parent process."""
    try:
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) * 1024
    except (OSError, LookupError, ValueError):
        return None


def _peak_of_usage() -> int | None:
    """On any Unix: bytes on macOS, KiB elsewhere."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
