"""Journals of searches: sealed line by line, cut ones continued, changed ones refused; a full disk loses nothing."""

import json
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

from hqsam_lightning.errors import ConfigError, DataError, StorageError
from hqsam_lightning.search import journal
from hqsam_lightning.search.journal import SealedJournal, check_journal
from hqsam_lightning.search.study import open_storage, open_study

SPACE = {"optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True), "fusion": CategoricalDistribution(["conv", "fpn"])}
RECIPE = ["seed=7"]


def open_checked(path: Path) -> optuna.Study:
    """As a search opens its study."""
    check_journal(path)
    return open_study(path, "a study", ["mbiou"], SPACE, RECIPE)


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
    assert study.user_attrs["format_version"] == 2
    assert not list(sound.parent.glob("*.lock"))


def test_optuna_reads_it_without_us(sound: Path) -> None:
    theirs = optuna.load_study(study_name="a study", storage=JournalStorage(JournalFileBackend(str(sound))))
    assert finished(theirs) == finished(open_checked(sound))


def test_a_journal_cut_anywhere_continues(sound: Path, tmp_path: Path) -> None:
    """As a kill or a full disk leaves it: what was whole is there, the cut record is kept, and trials can be added."""
    content = sound.read_bytes()
    ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    rng = random.Random(3)
    for place in [1, 5, 11, *rng.sample(range(12, len(content)), 17), *(end - 1 for end in ends[-3:])]:
        folder = tmp_path / str(place)
        folder.mkdir()
        path = folder / "study.log"
        path.write_bytes(content[:place])
        study = open_checked(path)
        whole = max(end for end in [0, *ends] if end <= place)
        if content[place : place + 1] == b"\n":
            assert path.read_bytes()[: place + 1] == content[: place + 1], "a whole record, which lacked its end"
        elif place > whole:
            assert (folder / "study.log.cut-1").read_bytes() == content[whole:place]
        before = finished(study)
        add_trial(study, 0.125)
        again = finished(open_checked(path))
        assert again[: len(before)] == before
        assert again[-1][2] == [0.125]


def test_cut_records_are_kept_side_by_side(sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "study.log"
    shutil.copy(sound, path)
    for number in (1, 2):
        with path.open("ab") as file:
            file.write(b'{"op_code":6,"nu' + str(number).encode())
        check_journal(path)
    assert path.read_bytes() == sound.read_bytes()
    assert [(tmp_path / f"study.log.cut-{number}").read_bytes()[-1:] for number in (1, 2)] == [b"1", b"2"]
    assert caplog.text.count("its last record was cut by a kill or a full disk") == 2


@pytest.mark.parametrize("kind", ["digit", "dropped", "repeated", "swapped", "another study's", "appended by another"])
def test_a_changed_journal_is_refused(sound: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "study.log"
    lines = sound.read_bytes().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if b"[0.5]" in line)
    other = open_study(tmp_path / "other.log", "a study", ["mbiou"], SPACE, RECIPE)
    add_trial(other, 0.9)
    changed = {
        "digit": [*lines[:place], lines[place].replace(b"[0.5]", b"[0.7]"), *lines[place + 1 :]],
        "dropped": [*lines[:place], *lines[place + 1 :]],
        "repeated": [*lines[: place + 1], *lines[place:]],
        "swapped": [*lines[:place], lines[place + 1], lines[place], *lines[place + 2 :]],
        "another study's": [*lines[:place], (tmp_path / "other.log").read_bytes().splitlines(keepends=True)[-1]],
        "appended by another": [*lines[: place + 1], b'{"op_code":6,"worker_id":"a","trial_id":0}\n'],
    }
    path.write_bytes(b"".join(changed[kind]))
    line = place + (2 if kind in ("repeated", "appended by another") else 1)
    with pytest.raises(DataError, match=rf"hydra\.sweeper\.study=.*study\.log: .* line {line} of .* was changed"):
        open_checked(path)
    assert path.read_bytes() == b"".join(changed[kind]), "nothing is touched"


@pytest.mark.parametrize("content", [b"hello", b"\x89PNG\r\n\x1a\n\x00", b"[1]\n", b"{}\n", b"null\n", b"\xff" * 100])
def test_other_files_are_refused_and_stay(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "study.log"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"study\.log: expected .*give another hydra\.sweeper\.study"):
        check_journal(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_study_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    optuna.create_study(storage=JournalStorage(JournalFileBackend(str(path))), study_name="a study")
    with pytest.raises(
        DataError, match="expected records with checksums, got none: the study is of an earlier version"
    ):
        open_checked(path)


def test_a_study_without_a_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    study = optuna.create_study(storage=open_storage(path), study_name="a study", direction="maximize")
    study.ask(SPACE)
    with pytest.raises(ConfigError, match="got one without a version"):
        open_checked(path)


def test_pipes_and_folders_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(DataError, match="expected a regular file"):
            check_journal(tmp_path / name)


ODD = [
    None,
    True,
    -1,
    99,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    [],
    {},
    [None],
    ["a"],
    [0.5, 0.5],
    {"a": 1},
    2**70,
]


def mutate(rng: random.Random, records: list[dict[str, Any]]) -> None:
    """Replaces, drops or adds values of records, or moves records."""
    place = rng.randrange(len(records))
    if rng.random() < 0.2:
        records.insert(rng.randrange(len(records)), records.pop(place))
        return
    if rng.random() < 0.1:
        del records[place]
        return
    parent, key = records[place], rng.choice(list(records[place]))
    while isinstance(parent[key], dict) and parent[key] and rng.random() < 0.7:
        parent = parent[key]
        key = rng.choice(list(parent))
    if rng.random() < 0.2:
        del parent[key]
    else:
        parent[key] = rng.choice(ODD)


@pytest.mark.parametrize("kind", ["sealed", "bytes"])
def test_mutated_journals_are_refused_or_sound(sound: Path, tmp_path: Path, kind: str) -> None:
    """150 odd journals: an error by name, or a study whose trials are usable; never a traceback."""
    rng, path = random.Random(14), tmp_path / "study.log"
    content = sound.read_bytes()
    expected = finished(open_checked(sound))
    refused = 0
    for _ in range({"sealed": 90, "bytes": 60}[kind]):
        if kind == "sealed":
            records = [json.loads(line) for line in content.splitlines()]
            records = [{key: value for key, value in record.items() if key != "seal"} for record in records]
            mutate(rng, records)
            path.write_bytes(journal._sealed(records, ""))
        else:
            place = rng.randrange(len(content))
            flipped = content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]
            path.write_bytes(rng.choice([flipped, content[:place] + content[place + 9 :], content[place:]]))
        try:
            study = open_checked(path)
            add_trial(study, 0.5)
        except (ConfigError, DataError):
            refused += 1
            continue
        if kind == "bytes":
            # what a checksum of parsed records does not see, such as a letter's case in an escape, changes no value
            assert finished(study)[:-1] == expected[: len(study.trials) - 1]
        assert all(0 <= value <= 1 or kind == "sealed" for trial in study.trials for value in trial.values or [])
    assert refused > 40


@pytest.mark.parametrize("function", ["fsync", "write"])
def test_a_full_disk_takes_the_record_back(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    path = tmp_path / "study.log"
    shutil.copy(sound, path)
    study = open_checked(path)
    before = path.read_bytes()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    def half(file: Any, content: bytes) -> None:
        file.write(content[: len(content) // 2])
        full()

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full) if function == "fsync" else patch.setattr(journal, "_write", half)
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
    with pytest.raises(DataError, match="its last line is damaged; start the same command again"):
        study.tell(4, 0.5)


def test_the_lock_of_a_killed_process_is_taken_away(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    shutil.copy(sound, path)
    (tmp_path / "study.log.lock").symlink_to("study.log")
    add_trial(open_checked(path), 0.5)
    assert not os.path.lexists(tmp_path / "study.log.lock")


def test_long_records(tmp_path: Path) -> None:
    """The last record's seal is found however long it is."""
    backend = SealedJournal(tmp_path / "study.log")
    for size in (10, 20_000, 70_000, 5):
        backend.append_logs([{"op_code": 2, "text": "x" * size}, {"op_code": 2, "1": 2.5}])
    check_journal(tmp_path / "study.log")
    assert len(list(backend.read_logs(0))) == 8
