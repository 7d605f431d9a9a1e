"""Lines of photos: the last one of a photo counts, what a kill cut is taken off, and damage is named."""

from pathlib import Path

import pytest

from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.prediction.journal import Journal

FACTS = {"sam": "a" * 64}


def begun(folder: Path) -> Journal:
    journal = Journal(folder)
    journal.begin(FACTS)
    return journal


def test_the_last_line_of_a_photo_counts(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    assert journal.read() == {}
    journal.add([{"photo": "a", "problem": "broken"}, {"photo": "Größe\n"}])
    journal.add([{"photo": "a", "objects": []}])
    assert journal.read() == {"a": {"photo": "a", "objects": []}, "Größe\n": {"photo": "Größe\n"}}


@pytest.mark.parametrize("cut", range(1, len(b'{"photo": "b"}\n')))
def test_a_line_that_was_cut_anywhere_is_taken_off(tmp_path: Path, cut: int) -> None:
    begun(tmp_path).add([{"photo": "a"}, {"photo": "b"}])
    path = tmp_path / "photos.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    journal = begun(tmp_path)
    assert journal.read().keys() == {"a"}
    journal.add([{"photo": "b"}])
    assert journal.read().keys() == {"a", "b"}


@pytest.mark.parametrize("line", ["{", "[]", '{"name": 1}', "\ufffd"])
def test_a_damaged_line_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    journal = begun(tmp_path)
    journal.add([{"photo": "a"}])
    with (tmp_path / "photos.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    with pytest.raises(DataError, match=r"photos\.jsonl, line 2: expected a record .*; delete .* to predict anew"):
        journal.read()


def test_another_prediction_is_refused(tmp_path: Path) -> None:
    begun(tmp_path)
    with pytest.raises(ConfigError, match=r"expected the prediction that began there; sam: a+ before, b now; .* out"):
        Journal(tmp_path).begin({"sam": "b"})
