"""Journals of searches: sealed, never cut; changed ones are refused; a full disk loses nothing."""

import os
import random
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from hqsam_lightning.errors import DataError, StorageError
from hqsam_lightning.search.journal import CHECKSUM, SealedJournal
from hqsam_lightning.search.study import open_study

SPACE = {"optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True), "fusion": CategoricalDistribution(["conv", "fpn"])}
RECIPE = {"seed": 7}
MBIOU = {"mbiou": "maximize"}


def open_checked(path: Path) -> optuna.Study:
    """As a search opens its study."""
    return open_study(path, "a study", MBIOU, SPACE, RECIPE)


def add_trial(study: optuna.Study, value: float | None) -> None:
    trial = study.ask(SPACE)
    if value is None:
        trial.set_user_attr("error", "broken")
        study.tell(trial, state=TrialState.FAIL)
    else:
        trial.report(value / 2, 0)
        study.tell(trial, value)


def finished(study: optuna.Study) -> list[tuple[Any, ...]]:
    return [(t.number, t.state, t.values, t.params) for t in study.trials if t.state != TrialState.RUNNING]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of three finished trials, a failed one, and one that is running."""
    path = tmp_path_factory.mktemp("sound") / "study.log"
    study = open_checked(path)
    study.sampler = optuna.samplers.RandomSampler(seed=0)
    for value in (0.25, None, 0.5, 0.75):
        add_trial(study, value)
    study.ask(SPACE)
    return path


def test_a_sealed_journal_comes_back(sound: Path) -> None:
    study = open_checked(sound)
    assert [trial.values for trial in study.trials] == [[0.25], None, [0.5], [0.75], None]
    assert study.user_attrs["format_version"] == 3
    assert not list(sound.parent.glob("*.lock"))


def test_optuna_reads_it_without_us(sound: Path) -> None:
    theirs = optuna.load_study(study_name="a study", storage=JournalStorage(JournalFileBackend(str(sound))))
    assert finished(theirs) == finished(open_checked(sound))


def test_a_kill_while_a_record_is_written_loses_that_record_alone(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "study.log"
    shutil.copy(sound, path)
    study = open_checked(path)
    before = path.read_bytes()

    class Killed(BaseException):
        pass

    def killed(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(Killed):
            study.tell(4, 0.5)
    assert path.read_bytes() == before
    add_trial(open_checked(path), 0.125)
    assert finished(open_checked(path))[-1][2] == [0.125]


@pytest.mark.parametrize(
    "kind",
    ["digit", "dropped", "repeated", "swapped", "cut", "cut in a line", "another study's", "appended by another"],
)
def test_a_changed_journal_is_refused(sound: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "study.log"
    lines = sound.read_bytes().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if b"[0.5]" in line)
    other = open_study(tmp_path / "other.log", "a study", MBIOU, SPACE, RECIPE)
    add_trial(other, 0.9)
    changed = {
        "digit": [*lines[:place], lines[place].replace(b"[0.5]", b"[0.7]"), *lines[place + 1 :]],
        "dropped": [*lines[:place], *lines[place + 1 :]],
        "repeated": [*lines[: place + 1], *lines[place:]],
        "swapped": [*lines[:place], lines[place + 1], lines[place], *lines[place + 2 :]],
        "cut": lines[:-1],
        "cut in a line": [*lines[:-1], lines[-1][:-20]],
        "another study's": [*lines[:place], (tmp_path / "other.log").read_bytes().splitlines(keepends=True)[-1]],
        "appended by another": [*lines[: place + 1], b'{"op_code":6,"worker_id":"a","trial_id":0}\n'],
    }
    path.write_bytes(b"".join(changed[kind]))
    with pytest.raises(DataError, match=r"hydra\.sweeper\.study=.*study\.log: .* was changed or damaged"):
        open_checked(path)
    assert path.read_bytes() == b"".join(changed[kind]), "nothing is touched"


@pytest.mark.parametrize("content", [b"hello", b"\x89PNG\r\n\x1a\n\x00", b"[1]\n", b"{}\n", b"null\n", b"\xff" * 100])
def test_other_files_are_refused_and_stay(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "study.log"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"study\.log: expected .*give another hydra\.sweeper\.study"):
        open_checked(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_study_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    optuna.create_study(storage=JournalStorage(JournalFileBackend(str(path))), study_name="a study")
    with pytest.raises(DataError, match=f"or is of another version or program .KeyError: '{CHECKSUM}'"):
        open_checked(path)


def test_pipes_and_folders_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(DataError, match="expected a regular file"):
            open_checked(tmp_path / name)


def test_mutated_journals_are_refused_or_sound(sound: Path, tmp_path: Path) -> None:
    """60 odd journals: an error by name, or the same trials; never a traceback."""
    rng, path = random.Random(14), tmp_path / "study.log"
    content = sound.read_bytes()
    expected = finished(open_checked(sound))
    refused = 0
    for _ in range(60):
        place = rng.randrange(len(content))
        flipped = content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]
        path.write_bytes(rng.choice([flipped, content[:place] + content[place + 9 :], content[place:]]))
        try:
            study = open_checked(path)
            add_trial(study, 0.5)
        except DataError:
            refused += 1
            continue
        # what a checksum of parsed records does not see, such as a letter's case in an escape, changes no value
        assert finished(study)[:-1] == expected
    assert refused > 40


def test_a_full_disk_takes_the_record_back(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "study.log"
    shutil.copy(sound, path)
    study = open_checked(path)
    before = path.read_bytes()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"study\.log: cannot be written .*No space left"):
            study.tell(4, 0.5)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.lock"))
    study.tell(4, 0.5)
    assert finished(open_checked(path))[-1][2] == [0.5]


def test_a_journal_damaged_while_it_is_open_is_not_appended_to(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    shutil.copy(sound, path)
    study = open_checked(path)
    with path.open("ab") as file:
        file.write(b'{"op_')
    with pytest.raises(DataError, match="was changed or damaged"):
        study.tell(4, 0.5)


def test_records_of_several_processes(tmp_path: Path) -> None:
    one, other = (SealedJournal(tmp_path / "study.log") for _ in range(2))
    for number in range(3):
        for backend in (one, other):
            backend.append_logs([{"op_code": 2, "text": "x" * number}, {"op_code": 2, "1": 2.5}])
    assert list(one.read_logs(0)) == list(other.read_logs(0))
    assert len(list(one.read_logs(2))) == 10
