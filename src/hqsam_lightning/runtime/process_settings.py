"""Settings of the whole process, from the config's section `process`, applied by commands and loading processes.

Importing the package or building a data module changes none of them.
"""

from __future__ import annotations

import functools
import logging
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import lightning as L
from omegaconf import DictConfig

from hqsam_lightning.checks import Expected, boolean, integer, require
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.runtime.memory import keep_freed_memory

EXPECTED_WARNINGS = (
    r"Found \d+ module\(s\) in eval mode",  # the frozen SAM
    r"GPU available but not used",  # trainer=cpu is the user's choice
    r"The '\w+_dataloader' does not have many workers",  # loader.num_workers is the user's choice
    r"It is recommended to use `self.log\('val/",  # the metrics are summed over processes before they are logged
    r"`ModelCheckpoint\(monitor='val/mbiou'\)` could not find",  # a run that ends within an epoch validates afterwards
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    r"Checkpoint directory .* exists and is not empty",  # a run resumed in its own folder
    r"Total length of `list` across ranks is zero",  # data.holdout=0; logged in our own words
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning on a newer torch
    r"`broadcast_buffers` is deprecated",  # of DistributedDataParallel, on a newer torch
    r"Glyph \d+ .* missing from (current )?font",  # a photo's name in a script that Matplotlib's font lacks
)
LOGGERS = ("hqsam_lightning", "lightning.pytorch.utilities.rank_zero")
EXPECTED: Mapping[str, Expected] = {
    "keep_freed_memory": boolean(),
    "loader_niceness": integer(0, 19),
    "opencv_threads": integer(0, 1024),
    "hide_expected_warnings": boolean(),
    "quiet_ranks": boolean(),
}
"""What the keys of the section have to be; the schema reads it too."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class ProcessSettings:
    """The config's section `process`.

    Attributes:
        keep_freed_memory: on a CPU and in loading processes, see `hqsam_lightning.runtime.memory.keep_freed_memory`.
        loader_niceness: added to the niceness of loading processes, 0 to 19.
        opencv_threads: of the command itself, 0 to 1024; loading processes never use OpenCV's threads.
        hide_expected_warnings: ignore the warnings that a sound run gives, `EXPECTED_WARNINGS`.
        quiet_ranks: let the processes of ranks > 0 log errors alone.

    Raises:
        ConfigError: for an unknown key, or a value out of its range.
    """

    keep_freed_memory: bool = True
    loader_niceness: int = 0
    opencv_threads: int = 1
    hide_expected_warnings: bool = True
    quiet_ranks: bool = True

    def __post_init__(self) -> None:
        for name, expected in EXPECTED.items():
            require(f"process.{name}", getattr(self, name), expected)

    @classmethod
    def from_config(cls, config: DictConfig) -> ProcessSettings:
        """Reads the section of a run's config; what it leaves out has its default."""
        section: Mapping[str, Any] = config.get("process") or {}
        for name in section:
            if name not in EXPECTED:
                raise ConfigError(f"process.{name}: expected one of {', '.join(sorted(EXPECTED))}")
        return cls(**section)


@dataclass(frozen=True)
class BeginLoading:
    """What a loading process does first; a `worker_init_fn` that every start method can send to it.

    OpenCV is kept from its threads: a process that is forked from one that used them would wait for them for ever.

    Attributes:
        niceness: added to the process's.
        keep_freed_memory: of a sample for the next one.
    """

    niceness: int = 0
    keep_freed_memory: bool = False

    def __call__(self, worker: int) -> None:
        """Sets up the process, whatever the number of the `worker`."""
        cv2.setNumThreads(0)
        if self.niceness and hasattr(os, "nice"):
            os.nice(self.niceness)
        if self.keep_freed_memory:
            keep_freed_memory()


def begin_loading(config: DictConfig) -> BeginLoading:
    """What the loading processes of a run begin with."""
    settings = ProcessSettings.from_config(config)
    return BeginLoading(settings.loader_niceness, settings.keep_freed_memory)


def with_process_settings(command: Callable[[DictConfig], Result]) -> Callable[[DictConfig], Result]:
    """Applies the settings that do not depend on the device while the command runs, and undoes them afterwards."""

    @functools.wraps(command)
    def wrapper(config: DictConfig) -> Result:
        settings = ProcessSettings.from_config(config)
        threads = cv2.getNumThreads()
        ours, lightnings = (logging.getLogger(name) for name in LOGGERS)
        levels = ours.level, lightnings.level
        cv2.setNumThreads(settings.opencv_threads)
        try:
            with warnings.catch_warnings():
                if settings.hide_expected_warnings:
                    lightnings.setLevel(logging.WARNING)
                    for message in EXPECTED_WARNINGS:
                        warnings.filterwarnings("ignore", message=message)
                return command(config)
        finally:
            cv2.setNumThreads(threads)
            ours.setLevel(levels[0])
            lightnings.setLevel(levels[1])

    return wrapper


def apply_to_device(config: DictConfig, trainer: L.Trainer) -> None:
    """Applies what depends on the device and the rank, once they are known."""
    settings = ProcessSettings.from_config(config)
    if settings.keep_freed_memory and trainer.strategy.root_device.type == "cpu":
        keep_freed_memory()
    if settings.quiet_ranks and not trainer.is_global_zero:
        logging.getLogger(LOGGERS[0]).setLevel(logging.ERROR)
