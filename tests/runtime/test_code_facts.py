"""The commit is known where git tracks the code, and nowhere else."""

import subprocess
from pathlib import Path

import pytest

from hqsam_lightning.runtime.code_facts import source_commit


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "code.py").write_text("x = 1\n")
    (tmp_path / "other.py").write_text("")
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "-q"], ["add", "code.py"], [*who, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    return tmp_path


def test_a_checkout_names_its_commit_and_says_when_it_was_changed(checkout: Path) -> None:
    head = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert source_commit(checkout / "code.py") == head.stdout.strip()
    (checkout / "code.py").write_text("x = 2\n")
    assert source_commit(checkout / "code.py") == head.stdout.strip() + "-dirty"


def test_code_that_git_does_not_track_has_no_commit(checkout: Path) -> None:
    """An installed package may lie in an environment inside somebody's own checkout."""
    assert source_commit(checkout / "other.py") is None


def test_without_git_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert source_commit(checkout / "code.py") is None
