"""A folder that one process alone writes."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from hqsam_lightning.errors import BusyError, StorageError
from hqsam_lightning.storage import locks
from hqsam_lightning.storage.locks import claim
from patience import PATIENCE

OWNER = """
import sys
from pathlib import Path
from hqsam_lightning.storage.locks import claim
with claim(Path(sys.argv[1]), "wait"):
    print("claimed", flush=True)
    sys.stdin.read()
"""


def begin_owner(folder: Path) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    return process


def end(process: subprocess.Popen, kill: bool = False) -> None:
    if kill:
        process.kill()
    process.communicate(timeout=PATIENCE)


def test_another_process_is_named_and_a_kill_frees(tmp_path: Path) -> None:
    owner = begin_owner(tmp_path / "run")
    try:
        message = rf"run: expected a folder .*process {owner.pid} on .* does; wait"
        with pytest.raises(BusyError, match=message), claim(tmp_path / "run", "wait"):
            raise AssertionError("claimed twice")
        with claim(tmp_path / "other", "wait"):
            pass
    finally:
        end(owner, kill=True)
    assert (tmp_path / "run" / locks.LOCK_FILE).exists(), "killed: nobody removed it"
    with claim(tmp_path / "run", "wait"):
        pass
    assert list((tmp_path / "run").iterdir()) == []


def test_the_same_process_is_refused_too(tmp_path: Path) -> None:
    with claim(tmp_path, "wait"):
        with pytest.raises(BusyError, match="this process does"), claim(tmp_path / "." / "", "wait"):
            pass
        # the refused one did not free it
        with pytest.raises(BusyError), claim(tmp_path, "wait"):
            pass
    with claim(tmp_path, "wait"):
        pass


def test_a_lock_that_its_owner_removes_in_between_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes would each hold a lock, on two files of one name."""
    path, lock, calls = tmp_path / locks.LOCK_FILE, locks._lock, []

    def lock_late(descriptor: int, *arguments: object) -> None:
        if not calls:
            path.unlink()
        calls.append(descriptor)
        lock(descriptor, *arguments)

    monkeypatch.setattr(locks, "_lock", lock_late)
    with claim(tmp_path, "wait"):
        assert len(calls) == 2
        assert path.exists()


def test_a_platform_without_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    with claim(tmp_path, "wait"):
        assert "this platform has no file locks" in caplog.text


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_without_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(code, "no locks")

    monkeypatch.setattr(locks.fcntl, "lockf", fail)
    with claim(tmp_path, "wait"):
        assert "has no file locks" in caplog.text


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE])
def test_a_broken_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(code, "broken")

    monkeypatch.setattr(locks.fcntl, "lockf", fail)
    with pytest.raises(StorageError, match="cannot be written"), claim(tmp_path, "wait"):
        pass


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(StorageError, match=r"run/\.lock: cannot be written"), claim(tmp_path / "run", "wait"):
        pass
