"""Processes of a command that has no trainer: started for its devices, and in agreement about errors and signals."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from lightning import Fabric

from hqsam_lightning.errors import HQSamError
from hqsam_lightning.runtime.progress import track
from hqsam_lightning.runtime.signals import Stopped, stop_requested

T = TypeVar("T")


def launch(trainer: Mapping[str, Any]) -> Fabric:
    """Starts a process per device of the config's section `trainer`."""
    options = {key: trainer[key] for key in ("accelerator", "devices", "num_nodes") if key in trainer}
    fabric = Fabric(**options, strategy="auto" if options.get("devices") == 1 else "ddp")
    fabric.launch()
    return fabric


def together(fabric: Fabric, action: Callable[[], T]) -> T:
    """Does something in every process; what stops one of them stops all.

    Returns:
        What the action gave in this process.

    Raises:
        HQSamError: the first process's that has one, in process 0; the others end quietly.
        Stopped: after a signal, likewise.
    """
    outcome: HQSamError | signal.Signals | None = None
    result: T | None = None
    try:
        result = action()
    except HQSamError as error:
        outcome = error
    except RuntimeError:
        # the same signal may have ended the loading processes
        if stop_requested() is None:
            raise
    outcome = stop_requested() or outcome
    outcomes = [fabric.broadcast(outcome, src=rank) for rank in range(fabric.world_size)]
    failure = next((each for each in outcomes if each is not None), None)
    if failure is None:
        return cast(T, result)
    if not fabric.is_global_zero:
        # the status of the command is process 0's; Lightning kills that one when another's is not 0
        sys.exit(0)
    raise failure if isinstance(failure, HQSamError) else Stopped(failure)


def together_in_first(fabric: Fabric, action: Callable[[], object]) -> None:
    """Does something in process 0, as `together` does; the others wait for it."""
    together(fabric, action if fabric.is_global_zero else lambda: None)


def rounds(fabric: Fabric, count: int, title: str) -> Iterable[int]:
    """Numbers of the rounds in which each process takes one of `count` pieces of work; process 0 shows the progress."""
    numbers = range(-(-count // fabric.world_size))
    return track(numbers, title) if fabric.is_global_zero else numbers
