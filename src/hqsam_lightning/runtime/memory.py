"""Memory of this process: the most it took, and what the C library does with what is freed."""

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

    By default it returns them to the system, and fresh pages for the next photo take a third of the time that reading
    one takes. Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)


def peak_memory(device: torch.device | None = None) -> int | None:
    """Most bytes that this process held at any time; None where the system does not report it.

    Args:
        device: that the process computed on: of a CUDA device the allocated memory is given, otherwise the resident
            memory of the process.
    """
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _peak_of_status() or _peak_of_usage()


def _peak_of_status() -> int | None:
    """Of Linux; unlike getrusage it does not begin with what the parent process had."""
    try:
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) * 1024
    except (OSError, LookupError, ValueError):
        return None


def _peak_of_usage() -> int | None:
    """Of any Unix: bytes on macOS, KiB elsewhere."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
