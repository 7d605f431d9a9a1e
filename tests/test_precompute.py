"""Precompute: one process per folder, whole shards whatever ends it, and a cache bound to what it was made of."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from damage import DAMAGES, flipped
from hqsam_lightning import precompute as module
from hqsam_lightning.config import as_plain
from hqsam_lightning.data.building import open_cache
from hqsam_lightning.data.cache import KIND, VERSION, CacheIndex
from hqsam_lightning.errors import BusyError, CacheError, StorageError
from hqsam_lightning.precompute import precompute
from hqsam_lightning.recipe import features_of
from hqsam_lightning.runtime.signals import Stopped
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.storage.files import write_document
from hqsam_lightning.types import SamFeatures
from launched import run_command

SMALL = (
    *(
        "setting=paper",
        "sam=tiny_random",
        "trainer=cpu",
        "batch.total=4",
        "batch.max_per_device=2",
        "loader.num_workers=0",
    ),
    *("data.train_size=12", "data.val_size=1", "augmentations_per_image=3"),
)
FILES = ["000000.safetensors", "000001.safetensors", "000002.safetensors", "cache.json"]
Compose = Callable[..., DictConfig]


@pytest.fixture
def compose(make_config, tmp_path: Path) -> Compose:
    return lambda *overrides: make_config(*SMALL, f"cache={tmp_path / 'cache'}", *overrides)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a whole cache is kept, see `whole`."""
    return tmp_path_factory.mktemp("whole") / "cache"


@pytest.fixture
def whole(compose: Compose, kept: Path) -> dict[str, bytes]:
    """The files of a whole cache, by name."""
    if not kept.exists():
        precompute(compose(f"cache={kept}"))
    return contents(kept)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def put(files: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def opened(config: DictConfig) -> None:
    sam = module.instantiate(config.sam)
    open_cache(config, features_of(as_plain(config), sam.weights_sha256))


# --- a cache is bound to its contents --------------------------------------------------------------------------------


def test_shards_swapped_within_a_cache_are_refused(compose: Compose, whole: dict, tmp_path: Path) -> None:
    first, second = "000000.safetensors", "000001.safetensors"
    put({**whole, first: whole[second], second: whole[first]}, tmp_path / "cache")
    for command in (opened, precompute):
        with pytest.raises(CacheError, match=r"000000\.safetensors: expected shard 0, got shard 1"):
            command(compose())


@pytest.mark.parametrize("other", ["seed=7", "augmentation.min_scale=0.5", "sam.precision=bf16"])
def test_a_shard_of_another_cache_is_refused(compose: Compose, whole: dict, tmp_path: Path, other: str) -> None:
    precompute(compose(other, f"cache={tmp_path / 'other'}"))
    theirs = contents(tmp_path / "other")
    put({**whole, "000002.safetensors": theirs["000002.safetensors"]}, tmp_path / "cache")
    for command in (opened, precompute):
        with pytest.raises(CacheError, match=r"000002\.safetensors: .*got one of another .*delete the file"):
            command(compose())


def test_the_index_of_another_cache_is_refused(compose: Compose, whole: dict, tmp_path: Path) -> None:
    precompute(compose("data.train_size=10", f"cache={tmp_path / 'other'}"))
    put({**whole, "cache.json": contents(tmp_path / "other")["cache.json"]}, tmp_path / "cache")
    with pytest.raises(CacheError, match=r"000000\.safetensors: .*got one of another "):
        opened(compose())
    with pytest.raises(CacheError, match="expected a cache of these 12 training and 1 validation images"):
        precompute(compose())


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_index_is_refused(compose: Compose, whole: dict, tmp_path: Path, damage) -> None:
    put({**whole, "cache.json": damage(whole["cache.json"])}, tmp_path / "cache")
    with pytest.raises(CacheError, match=r"cache\.json: .*; (delete|run)"):
        opened(compose())


def test_no_flipped_bit_changes_the_index(whole: dict, tmp_path: Path) -> None:
    folder = put(whole, tmp_path / "cache")
    expected = CacheIndex.read(folder)
    for content in flipped(whole["cache.json"], seed=1, count=60):
        (folder / "cache.json").write_bytes(content)
        with suppress(CacheError):
            assert CacheIndex.read(folder) == expected


@pytest.mark.parametrize("views", [0, "3", 2.0, None, True])
def test_views_are_checked(compose: Compose, whole: dict, tmp_path: Path, views: object) -> None:
    folder = put(whole, tmp_path / "cache")
    body = CacheIndex.read(folder).body
    write_document(folder / "cache.json", KIND, VERSION, {**body, "facts": {**body["facts"], "views": views}})
    with pytest.raises(CacheError, match=r"cache\.json: expected facts with views >= 1, got"):
        opened(compose("augmentations_per_image=null"))


@pytest.mark.parametrize("names", [["cache.json"], FILES[1:3], FILES[1:]], ids=str)
def test_the_same_command_writes_anew_what_was_deleted(
    compose: Compose, whole: dict, tmp_path: Path, names: list[str]
) -> None:
    folder = put({name: content for name, content in whole.items() if name not in names}, tmp_path / "cache")
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}
    precompute(compose())
    assert contents(folder) == whole
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3.4e38])
def test_features_that_are_not_finite_are_not_stored(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: float
) -> None:
    encode, calls = FrozenSam.encode, []

    def broken(self: FrozenSam, images: torch.Tensor) -> SamFeatures:
        made = encode(self, images)
        calls.append(len(images))
        if sum(calls) > 16:  # one blank image, then the first shard's
            made.early[-1, 0, 0, 0] = value
        return made

    monkeypatch.setattr(FrozenSam, "encode", broken)
    with pytest.raises(CacheError, match=r"^synthetic/\S+: expected finite features of SAM, its early holds NaN"):
        precompute(compose())
    assert not list((tmp_path / "cache").glob("*.safetensors"))


# --- one process per folder, and what ends it ------------------------------------------------------------------------


def test_a_folder_that_another_process_fills_is_refused(compose: Compose, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from hqsam_lightning.storage.locks import claim\n"
        "with claim(Path(sys.argv[1]), ''): print('claimed', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "cache")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"claimed\n"
        with pytest.raises(BusyError, match=rf"process {holder.pid} on .*choose another cache"):
            precompute(compose("seed=7"))
        assert list(contents(tmp_path / "cache")) == [".lock"]
        holder.kill()
    precompute(compose())
    assert sorted(contents(tmp_path / "cache")) == FILES


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_ends_it_after_the_shard(
    compose: Compose,
    whole: dict,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    number: signal.Signals,
) -> None:
    write = module.write_shard

    def signalled(*arguments) -> None:
        os.kill(os.getpid(), number)
        write(*arguments)

    monkeypatch.setattr(module, "write_shard", signalled)
    with pytest.raises(Stopped) as stopped:
        precompute(compose())
    assert stopped.value.code == 128 + number
    assert sorted(contents(tmp_path / "cache")) == [FILES[0], *FILES[3:]]
    expected = f"{number.name}: stopped with 1 whole shards in {tmp_path / 'cache'}; the same command continues"
    assert expected in capsys.readouterr().err
    monkeypatch.undo()
    precompute(compose())
    assert contents(tmp_path / "cache") == whole


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("cache.json", errno.EDQUOT),
        ("000000.safetensors", errno.EROFS),
        ("000002.safetensors", errno.ENOSPC),
    ],
)
def test_a_disk_that_cannot_be_written_leaves_whole_files(
    compose: Compose, whole: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    replaced = os.replace

    def failing(source: Path, target: Path) -> None:
        if Path(target).name == name:
            raise OSError(code, os.strerror(code))
        replaced(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(StorageError, match=rf"{name}: cannot be written .*run the same command again"):
        precompute(compose())
    left = contents(tmp_path / "cache")
    assert all(whole[each] == content for each, content in left.items())
    assert name not in left
    monkeypatch.undo()
    precompute(compose())
    assert contents(tmp_path / "cache") == whole


def test_a_folder_that_cannot_be_made_is_named(compose: Compose, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/cache"):
        precompute(compose(f"cache={tmp_path / 'file' / 'cache'}"))


def test_half_written_files_of_a_killed_process_are_removed(compose: Compose, whole: dict, tmp_path: Path) -> None:
    folder = put(whole, tmp_path / "cache")
    shards = [folder / ".000001.safetensors.123.part", folder / ".cache.json.9.part"]
    for path in (*shards, folder / ".notes.part"):
        path.write_bytes(b"half")
    (folder / "000001.safetensors").unlink()
    precompute(compose())
    assert contents(folder) == {**whole, ".notes.part": b"half"}


def test_two_processes_write_the_cache_of_one(whole: dict, tmp_path: Path) -> None:
    two = ("trainer=ddp_cpu", f"hydra.run.dir={tmp_path / 'run'}")
    put({name: whole[name] for name in FILES[1:]}, tmp_path / "cache")
    ended = run_command("hqsam_lightning.precompute", *SMALL, f"cache={tmp_path / 'cache'}", *two)
    assert ended.returncode == 0, ended.stderr
    assert contents(tmp_path / "cache") == whole


def test_a_home_folder_is_found(compose: Compose, whole: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    put(whole, tmp_path / "cache")
    assert precompute(compose("cache='~/cache'")) == tmp_path / "cache"
    opened(compose("cache='~/cache'"))
