"""A loading process that is killed, crashes, ends or stops is an error that names the sample it was reading."""

import multiprocessing
import os
import signal
import time

import pytest
from torch.utils.data import Dataset

from hqsam_lightning.data.sampling import EpochSampler, ResumableLoader
from hqsam_lightning.data.watched_loading import WatchedLoader, loader_errors, sample_name
from hqsam_lightning.errors import ConfigError, DataError
from patience import PATIENCE

BAD = 3
FATES = {
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crashed": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "ended": lambda: os._exit(7),
    "stopped": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "slow": lambda: time.sleep(600),
    "failed": lambda: (_ for _ in ()).throw(DataError("birds/3.jpg: damaged")),
}


class Fateful(Dataset):
    """Its sample `BAD` meets a fate."""

    def __init__(self, fate: str) -> None:
        self.fate = fate

    def __len__(self) -> int:
        return 6

    def __getitem__(self, key: int | tuple[int, int, int]) -> int:
        index = key[1] if isinstance(key, tuple) else key
        if index == BAD:
            FATES[self.fate]()
        return index


def name_of(key: tuple[int, ...]) -> str:
    return f"birds/p{key[-2] if len(key) > 1 else key[0]}"


def loader(fate: str, timeout: float = 0, workers: int = 2) -> WatchedLoader:
    return WatchedLoader(Fateful(fate), name_of, num_workers=workers, batch_size=None, timeout=timeout)


@pytest.mark.parametrize("fate", ["killed", "crashed", "ended"])
def test_a_process_that_ends_names_its_sample(fate: str) -> None:
    @loader_errors()
    def read() -> list[int]:
        return list(loader(fate))

    with pytest.raises(DataError, match=r"loader: .* reading birds/p3\. Possible reasons: memory ran out"):
        read()


@pytest.mark.parametrize("fate", ["stopped", "slow"])
def test_a_process_that_gives_nothing_is_an_error_in_bounded_time(fate: str) -> None:
    with pytest.raises(DataError, match=r"loader\.timeout: expected a batch within 5 s, got none; .*: birds/p3"):
        list(loader(fate, timeout=5, workers=1))
    deadline = time.monotonic() + PATIENCE
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not multiprocessing.active_children(), "a stopped process would be waited for at the end"


def test_the_training_loader_names_its_sample_too() -> None:
    sampler = EpochSampler([6], [1.0], share=1, seed=0)
    made = ResumableLoader(
        Fateful("killed"), name_of, sampler=sampler, batch_size=2, collate_fn=list, num_workers=1, drop_last=True
    )
    with pytest.raises(DataError, match=r"reading birds/p3"):
        loader_errors()(list)(made)


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_of_reading_stay_what_they_are(workers: int) -> None:
    with pytest.raises(DataError, match=r"birds/3\.jpg: damaged"):
        list(loader("failed", workers=workers))


def test_what_is_read_in_this_process_is_not_watched() -> None:
    made = WatchedLoader(Fateful("failed"), name_of, batch_size=None, sampler=[0, 1, 2, 4], timeout=600)
    assert list(made) == [0, 1, 2, 4]
    assert made.reading() == {}


def test_other_errors_are_left_alone() -> None:
    error = RuntimeError("CUDA out of memory")
    with pytest.raises(RuntimeError) as caught, loader_errors():
        raise error
    assert caught.value is error
    assert error.__cause__ is None


def test_a_negative_timeout_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"loader\.timeout: expected seconds >= 0"):
        loader("failed", timeout=-1)


def test_a_sample_whose_files_are_gone_is_named_by_its_number() -> None:
    class Gone:
        def identify(self, index: int) -> None:
            raise DataError("missing")

    assert sample_name(Gone(), 5) == "sample number 5"
