from __future__ import annotations

import fcntl
import hashlib
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from hqsam_lightning.errors import WeightsError
from hqsam_lightning.sam import weights
from hqsam_lightning.sam.state_dicts import read_state_dict, state_dict_sha256
from hqsam_lightning.sam.weights import PublishedWeights, fetch
from patience import PATIENCE

BODY = random.Random(0).randbytes(300_000)
CUT = 2 * 64 * 1024
NAME = "sam_tiny.pth"


class FileServer(ThreadingHTTPServer):
    """Serves `body` under every path and records the Range header of each request."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.status = 200
        self.has_ranges = True
        self.failing_statuses: list[int] = []
        self.cuts: list[int] = []
        self.ranges: list[str | None] = []
        self.before_answer: Callable[[], object] = lambda: None

    @property
    def published(self) -> PublishedWeights:
        url = f"http://127.0.0.1:{self.server_port}/models/{NAME}?download=true"
        return PublishedWeights(url, hashlib.sha256(BODY).hexdigest(), len(BODY))


class Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        self.server.before_answer()
        failing = self.server.failing_statuses
        status, start = (failing.pop(0) if failing else self.server.status), 0
        if asked and self.server.has_ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            status = 206 if start < len(self.server.body) else 416
        content = self.server.body[start:] if status < 300 else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.cuts.pop(0)] if self.server.cuts else content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def _direct_and_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(weights, "_BACKOFF_S", 0.0)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {f"{NAME}.lock"}


def test_download_makes_the_folder_and_leaves_the_file_alone(server: FileServer, tmp_path: Path) -> None:
    path = fetch(server.published, tmp_path / "a" / "b")
    assert path == tmp_path / "a" / "b" / NAME
    assert path.read_bytes() == BODY
    assert files_of(path.parent) == {NAME, f"{NAME}.verified"}
    assert server.ranges == [None]


def test_second_fetch_neither_asks_nor_hashes(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch(server.published, tmp_path)
    monkeypatch.setattr(weights, "file_sha256", lambda path: pytest.fail("hashed again"))
    assert fetch(server.published, tmp_path) == path
    assert len(server.ranges) == 1


def test_changed_file_is_hashed_again(server: FileServer, tmp_path: Path) -> None:
    path = fetch(server.published, tmp_path)
    stat = path.stat()
    path.write_bytes(b"x" + BODY[1:])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(WeightsError, match="expected SHA-256"):
        fetch(server.published, tmp_path)


def test_verified_note_of_another_release_does_not_count(server: FileServer, tmp_path: Path) -> None:
    fetch(server.published, tmp_path)
    other = PublishedWeights(server.published.url, "0" * 64)
    with pytest.raises(WeightsError, match=f"expected SHA-256 {'0' * 64}, got {server.published.sha256}"):
        fetch(other, tmp_path)


def test_good_file_put_there_by_hand_is_accepted(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(BODY)
    (tmp_path / f"{NAME}.verified").write_bytes(b"\xff no JSON")
    assert fetch(server.published, tmp_path).read_bytes() == BODY
    assert server.ranges == []


def test_cut_connection_is_resumed(server: FileServer, tmp_path: Path) -> None:
    server.cuts = [CUT]
    assert fetch(server.published, tmp_path).read_bytes() == BODY
    assert server.ranges == [None, f"bytes={CUT}-"]


def test_server_without_ranges_starts_over(server: FileServer, tmp_path: Path) -> None:
    server.has_ranges = False
    server.cuts = [CUT]
    assert fetch(server.published, tmp_path).read_bytes() == BODY
    assert server.ranges == [None, f"bytes={CUT}-"]


def test_tries_are_bounded_and_the_part_is_kept(server: FileServer, tmp_path: Path) -> None:
    server.cuts = [CUT, 0, 0, 0, 0]
    with pytest.raises(WeightsError, match="cannot download http://127"):
        fetch(server.published, tmp_path)
    assert len(server.ranges) == 5
    assert (tmp_path / f"{NAME}.part").read_bytes() == BODY[:CUT]
    assert fetch(server.published, tmp_path).read_bytes() == BODY


def test_part_of_a_killed_run_is_resumed(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(BODY[:1000])
    assert fetch(server.published, tmp_path).read_bytes() == BODY
    assert server.ranges == ["bytes=1000-"]


def test_complete_part_is_taken(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(BODY)
    assert fetch(server.published, tmp_path).read_bytes() == BODY
    assert server.ranges == [f"bytes={len(BODY)}-"]


@pytest.mark.parametrize("part", [b"x" * 1000, b"x" * len(BODY), b"x" * (len(BODY) + 5)])
def test_bad_part_of_an_earlier_run_is_replaced(server: FileServer, tmp_path: Path, part: bytes) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(part)
    assert fetch(server.published, tmp_path).read_bytes() == BODY
    assert server.ranges == [f"bytes={len(part)}-", None]


def test_wrong_download_is_refused_and_removed(server: FileServer, tmp_path: Path) -> None:
    server.body = BODY[:-1] + bytes([BODY[-1] ^ 1])
    found = hashlib.sha256(server.body).hexdigest()
    with pytest.raises(WeightsError, match=found) as caught:
        fetch(server.published, tmp_path)
    for part in (str(tmp_path / NAME), server.published.sha256, server.published.url, "sam.weights="):
        assert part in str(caught.value)
    assert files_of(tmp_path) == set()
    server.body = BODY
    assert fetch(server.published, tmp_path).read_bytes() == BODY
    assert server.ranges == [None, None]


def test_wrong_published_size_is_refused(server: FileServer, tmp_path: Path) -> None:
    published = PublishedWeights(server.published.url, server.published.sha256, len(BODY) + 1)
    with pytest.raises(WeightsError, match=r"\(300001 bytes\), got \w+ \(300000 bytes\)"):
        fetch(published, tmp_path)


def test_corrupted_cached_file_is_refused_and_kept(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(BODY[:-1])
    with pytest.raises(WeightsError, match="delete the file") as caught:
        fetch(server.published, tmp_path)
    found = hashlib.sha256(BODY[:-1]).hexdigest()
    for part in (str(tmp_path / NAME), server.published.sha256, found, "sam.weights="):
        assert part in str(caught.value)
    assert (tmp_path / NAME).read_bytes() == BODY[:-1]
    assert files_of(tmp_path) == {NAME}
    assert server.ranges == []


def test_404_is_not_retried(server: FileServer, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(WeightsError, match="404") as caught:
        fetch(server.published, tmp_path)
    for part in (server.published.url, str(tmp_path / NAME), "put the file there", "sam.weights=/path/to/file.pth"):
        assert part in str(caught.value)
    assert len(server.ranges) == 1
    assert files_of(tmp_path) == set()


def test_busy_server_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    server.failing_statuses = [503, 503]
    assert fetch(server.published, tmp_path).read_bytes() == BODY
    assert len(server.ranges) == 3


def test_refused_connection(tmp_path: Path) -> None:
    with FileServer() as closed:
        published = closed.published
    with pytest.raises(WeightsError, match="refused") as caught:
        fetch(published, tmp_path)
    assert published.url in str(caught.value)
    assert "sam.weights=/path/to/file.pth" in str(caught.value)


def test_cache_that_cannot_be_made(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="choose another cache folder"):
        fetch(server.published, tmp_path / "file" / "cache")


@contextmanager
def little_room() -> Iterator[None]:
    """No file may get larger than half of the published one."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(BODY) // 2, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_download_that_finds_no_room_is_kept(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot be stored .*kept in") as caught, little_room():
        fetch(server.published, tmp_path)
    for part in (str(tmp_path / NAME), f"{NAME}.part", "make room", "sam.weights="):
        assert part in str(caught.value)
    assert 0 < (tmp_path / f"{NAME}.part").stat().st_size <= len(BODY) // 2
    assert fetch(server.published, tmp_path).read_bytes() == BODY
    assert len(server.ranges) == 2
    assert str(server.ranges[1]).startswith("bytes=")


def test_two_at_once_download_once(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock, both_came = fcntl.flock, threading.Event()
    comers: list[int] = []

    def counting_flock(file: Any, operation: int) -> None:
        comers.append(operation)
        if len(comers) == 2:
            both_came.set()
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", counting_flock)
    # the first download cannot end before the second caller stands at the lock
    server.before_answer = lambda: both_came.wait(timeout=PATIENCE)
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: fetch(server.published, tmp_path), range(2)))
    assert both_came.is_set()
    assert [path.read_bytes() for path in paths] == [BODY, BODY]
    assert server.ranges == [None]


def test_a_platform_without_file_locks_downloads(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    assert fetch(server.published, tmp_path).read_bytes() == BODY
    assert "no file locks here" in caplog.text


def test_the_cache_folder_may_be_at_home(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch(server.published, Path("~/cache")) == tmp_path / "cache" / NAME


def a_state_dict() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "encoder.weight": torch.randn(64, 33, generator=generator),
        "encoder.bias": torch.randn(5, generator=generator).bfloat16(),
        "decoder.steps": torch.tensor(7),
        "decoder.empty": torch.empty(0, 3),
    }


def save_legacy(state_dict: dict[str, Tensor], path: Path) -> None:
    torch.save(state_dict, path, _use_new_zipfile_serialization=False)


FORMATS = [("a.pth", torch.save), ("legacy.pt", save_legacy), ("a.safetensors", save_file)]


@pytest.mark.parametrize(("name", "save"), FORMATS)
def test_reads_what_was_saved_with_an_equal_fingerprint(tmp_path: Path, name: str, save: Callable[..., None]) -> None:
    state_dict = a_state_dict()
    save(state_dict, tmp_path / name)
    read = read_state_dict(tmp_path / name)
    torch.testing.assert_close(read, state_dict, rtol=0, atol=0)
    assert state_dict_sha256(read) == state_dict_sha256(state_dict)


@pytest.mark.parametrize("keep", [0, 10, 500, -30])
@pytest.mark.parametrize(("name", "save"), FORMATS)
def test_truncated_file(tmp_path: Path, name: str, save: Callable[..., None], keep: int) -> None:
    path = tmp_path / name
    save(a_state_dict(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match="damaged") as caught:
        read_state_dict(path)
    assert str(path) in str(caught.value)
    assert "sam.weights=" in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pth: expected a weights file, found none; set sam\.weights="):
        read_state_dict(tmp_path / "none.pth")


def test_unknown_suffix(tmp_path: Path) -> None:
    (tmp_path / "sam.onnx").touch()
    with pytest.raises(WeightsError, match=r"expected a \.pth, \.pt or \.safetensors file, got '\.onnx'"):
        read_state_dict(tmp_path / "sam.onnx")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"model": {"w": torch.zeros(1)}}, "dict under 'model'"),
        ({"w": torch.zeros(1), "epoch": 3}, "int under 'epoch'"),
        ({0: torch.zeros(1)}, "Tensor under 0"),
        ([torch.zeros(1)], "got list"),
        ({}, "an empty dict"),
    ],
)
def test_content_that_is_no_state_dict(tmp_path: Path, content: object, found: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=found):
        read_state_dict(tmp_path / "a.pth")


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"w": Evil()}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="more than tensors"):
        read_state_dict(tmp_path / "a.pth")
    assert not (tmp_path / "ran").exists()


def test_fingerprint_ignores_order_strides_and_gradients() -> None:
    state_dict = a_state_dict()
    other = dict(reversed(state_dict.items()))
    other["encoder.weight"] = other["encoder.weight"].t().contiguous().t().requires_grad_()
    other["encoder.bias"] = other["encoder.bias"].repeat_interleave(2)[::2]
    assert not any(other[name].is_contiguous() for name in ("encoder.weight", "encoder.bias"))
    assert state_dict_sha256(other) == state_dict_sha256(state_dict)


def with_one_value_changed(state_dict: dict[str, Tensor]) -> None:
    state_dict["encoder.bias"][3] += 1


def with_a_name_changed(state_dict: dict[str, Tensor]) -> None:
    state_dict["encoder.bias2"] = state_dict.pop("encoder.bias")


def with_a_shape_changed(state_dict: dict[str, Tensor]) -> None:
    state_dict["encoder.weight"] = state_dict["encoder.weight"].reshape(33, 64)


def with_a_dtype_changed(state_dict: dict[str, Tensor]) -> None:
    state_dict["encoder.bias"] = state_dict["encoder.bias"].view(torch.float16)


def with_a_tensor_missing(state_dict: dict[str, Tensor]) -> None:
    del state_dict["decoder.empty"]


@pytest.mark.parametrize(
    "change",
    [
        with_one_value_changed,
        with_a_name_changed,
        with_a_shape_changed,
        with_a_dtype_changed,
        with_a_tensor_missing,
    ],
)
def test_fingerprint_tells_apart(change: Callable[[dict[str, Tensor]], None]) -> None:
    changed = a_state_dict()
    change(changed)
    assert state_dict_sha256(changed) != state_dict_sha256(a_state_dict())
