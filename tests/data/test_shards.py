"""Shards: what is read is what was written, in its place, or is refused by the file's name."""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from damage import DAMAGES, flipped
from hqsam_lightning.data.shards import Entry, Place, check_shard, pack_shard, read_entry
from hqsam_lightning.errors import CacheError

PLACE = Place(cache="a" * 64, number=3, entries=4)


def make_entries(seed: int = 0) -> list[Entry]:
    generator = torch.Generator().manual_seed(seed)

    def features(channels: int) -> torch.Tensor:
        return torch.randn(channels, 4, 4, generator=generator).bfloat16()

    return [
        {
            "image_embeddings": features(8),
            "early": features(6),
            "masks": torch.randint(0, 256, (count, 1, 16, 16), generator=generator, dtype=torch.uint8),
        }
        for count in (1, 3, 0, 2)
    ]


def write(path: Path, place: Place = PLACE, seed: int = 0) -> Path:
    path.write_bytes(pack_shard(place, make_entries(seed)))
    return path


def is_equal(entry: Entry, other: Entry) -> bool:
    return entry.keys() == other.keys() and all(
        entry[name].dtype == other[name].dtype and torch.equal(entry[name], other[name]) for name in entry
    )


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors")
    check_shard(path, PLACE)
    for row, entry in enumerate(make_entries()):
        assert is_equal(read_entry(path, PLACE, row), entry)


def test_the_same_entries_make_the_same_file() -> None:
    assert pack_shard(PLACE, make_entries()) == pack_shard(PLACE, make_entries())
    assert pack_shard(PLACE, make_entries()) != pack_shard(PLACE, make_entries(seed=1))


def test_no_flipped_bit_changes_what_is_read(tmp_path: Path) -> None:
    path, entries = write(tmp_path / "a.safetensors"), make_entries()
    accepted = 0
    for content in flipped(path.read_bytes(), seed=0, count=120):
        path.write_bytes(content)
        for row, entry in enumerate(entries):
            with suppress(CacheError):
                read = read_entry(path, PLACE, row)
                accepted += 1
                assert is_equal(read, entry)
    # a flip in one entry leaves the others
    assert 0 < accepted < 120 * len(entries)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_files_are_refused(tmp_path: Path, damage) -> None:
    path = write(tmp_path / "a.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CacheError, match=r"a\.safetensors: .*delete the file and run the same"):
        read_entry(path, PLACE, 3)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"cache": "b" * 64}, r"\(aaaaaaaaaaaa\); got one of another \(bbbbbbbbbbbb\)"),
        ({"number": 5}, "expected shard 3, got shard 5"),
        ({"number": "3"}, "expected shard 3, got shard 3"),
        ({"cache": None}, r"got one of another \(None\)"),
    ],
)
def test_a_shard_of_another_place_is_refused(tmp_path: Path, change: dict, named: str) -> None:
    path = write(tmp_path / "a.safetensors", replace(PLACE, **change))
    for read in (lambda: check_shard(path, PLACE), lambda: read_entry(path, PLACE, 0)):
        with pytest.raises(CacheError, match=rf"a\.safetensors: .*{named}"):
            read()


@pytest.mark.parametrize("entries", [3, 5, 16])
def test_another_number_of_entries_is_refused(tmp_path: Path, entries: int) -> None:
    path = write(tmp_path / "a.safetensors")
    with pytest.raises(CacheError, match=f"expected checksums of {entries} entries"):
        check_shard(path, replace(PLACE, entries=entries))


def test_a_shard_of_version_1_is_refused_by_name(tmp_path: Path) -> None:
    save_file({"image_embeddings": torch.zeros(16, 8, 4, 4)}, tmp_path / "a.safetensors")
    with pytest.raises(CacheError, match="expected a file of format hqsam_lightning/cache shard, got None"):
        check_shard(tmp_path / "a.safetensors", PLACE)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, found in (("folder", "a folder"), ("pipe", "a pipe"), ("none", "cannot find it")):
        with pytest.raises(CacheError, match=found):
            check_shard(tmp_path / name, PLACE)
