"""A loader that reports which samples its processes were reading when one of them was killed, crashed or hung."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset, get_worker_info

from hqsam_lightning.data.datasets import SampleSet
from hqsam_lightning.errors import ConfigError, DataError, HQSamError

Key = tuple[int, ...]

KEY_PARTS = 3
FIELDS = 2 + KEY_PARTS
"""Numbers stored per process: its id, the length of the key it is reading (0 when idle), and the key."""

_DEAD = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (.*)", re.DOTALL)
_LATE = re.compile(r"DataLoader timed out after (\S+) seconds")
_loaders: weakref.WeakSet[WatchedLoader] = weakref.WeakSet()


class WatchedDataset(Dataset[Any]):
    """A dataset whose loading processes store, in shared memory, which sample they are reading.

    Args:
        examples: the dataset; its keys are integers or tuples of at most three.
        num_workers: number of loading processes.
    """

    def __init__(self, examples: Dataset[Any], num_workers: int) -> None:
        self.examples = examples
        self.notes = multiprocessing.RawArray("q", FIELDS * num_workers)

    def __len__(self) -> int:
        return len(self.examples)  # type: ignore[arg-type]

    def __getitem__(self, key: int | Key) -> Any:
        """Reads a sample; its key stays stored if reading it ends the process, or fails."""
        worker = get_worker_info()
        if worker is None:
            return self.examples[key]
        start = FIELDS * worker.id
        parts = key if isinstance(key, tuple) else (key,)
        self.notes[start : start + 2 + len(parts)] = [os.getpid(), len(parts), *parts]
        example = self.examples[key]
        self.notes[start + 1] = 0
        return example

    def reading(self) -> dict[int, Key | None]:
        """The key that each started process is reading, by process id; None for an idle one."""
        noted = {}
        for start in range(0, len(self.notes), FIELDS):
            pid, parts, *key = self.notes[start : start + FIELDS]
            if pid:
                noted[pid] = tuple(key[:parts]) if parts else None
        return noted


class WatchedLoader(DataLoader):
    """A DataLoader whose errors about its processes name the samples that these were reading.

    Args:
        examples: the dataset.
        name_of: name of the sample of a key, for messages.
        options: of `DataLoader`; a `timeout` in seconds applies if there are loading processes.

    Raises:
        ConfigError: for a negative timeout.
        DataError: while iterating, if a loading process ends, or returns no batch within the timeout.
    """

    def __init__(self, examples: Dataset[Any], name_of: Callable[[Key], str], **options: Any) -> None:
        workers, timeout = options.get("num_workers", 0), options.pop("timeout", 0)
        if timeout < 0:
            raise ConfigError(f"loader.timeout: expected seconds >= 0 (0 waits for ever); got {timeout}")
        super().__init__(WatchedDataset(examples, workers), timeout=timeout if workers else 0, **options)
        self._name_of = name_of
        _loaders.add(self)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yields the batches."""
        batches = super().__iter__()  # kept by the traceback of an error: its end waits for the processes
        with loader_errors():
            yield from batches

    def reading(self) -> dict[int, str]:
        """Name of the sample that each started process is reading, by process id."""
        watched = self.dataset
        assert isinstance(watched, WatchedDataset)
        return {pid: "no sample" if key is None else self._name_of(key) for pid, key in watched.reading().items()}


def sample_name(samples: SampleSet, index: int) -> str:
    """Id of a sample, or its index if its files are gone."""
    try:
        return samples.identify(index).sample_id
    except (HQSamError, OSError):
        return f"sample number {index}"


@contextlib.contextmanager
def loader_errors() -> Iterator[None]:
    """Raises a `DataError` for what torch raises about loading processes; leaves any other error as it is.

    It decorates commands too: torch may raise it during a training step, from a signal handler.
    """
    try:
        yield
    except RuntimeError as error:
        # no local variable holds the new error: in a cycle with its traceback it would keep the processes alive
        dead, late = _DEAD.match(str(error)), _LATE.match(str(error))
        reading = {pid: name for loader in _loaders for pid, name in loader.reading().items()}
        if dead:
            raise _dead_error([int(pid) for pid in dead[1].split(",")], dead[2], reading) from error
        if late:
            _continue_stopped(reading)
            raise _late_error(late[1], reading) from error
        raise


def _dead_error(pids: list[int], how: str, reading: dict[int, str]) -> DataError:
    names = ", ".join(reading.get(pid, "an unknown sample") for pid in pids)
    listed = ", ".join(str(pid) for pid in pids)
    return DataError(
        f"loader: expected loading process {listed} to give batches; it {how.strip().rstrip('.')}, reading {names}. "
        "Possible reasons: memory ran out (lower loader.num_workers; the system's log names processes that it ended "
        "for that), the file crashes its decoder (loader.num_workers=0 shows where), or something ended the process; "
        "then run the same command again"
    )


def _late_error(seconds: str, reading: dict[int, str]) -> DataError:
    names = "; ".join(f"process {pid}: {name}" for pid, name in reading.items()) or "none began"
    return DataError(
        f"loader.timeout: expected a batch within {seconds} s, got none; the loading processes are reading: {names}. "
        "Possible reasons: the storage hangs or is slow, a process was stopped or waits for memory, or the images are "
        "very large; check that these files can be read, or raise loader.timeout (0 waits for ever)"
    )


def _continue_stopped(reading: dict[int, str]) -> None:
    """Continues stopped processes, which would not end when told to, and would block the end of this process."""
    for child in multiprocessing.active_children():
        if child.pid is not None and child.pid in reading:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGCONT)
