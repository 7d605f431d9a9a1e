from __future__ import annotations

import gc
import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from safetensors.torch import save_file
from torch import Tensor

from hqsam_lightning.errors import WeightsError
from hqsam_lightning.sam import weights
from hqsam_lightning.sam.state_dicts import read_state_dict, state_dict_sha256
from hqsam_lightning.sam.weights import fetch
from patience import PATIENCE

BODY = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
NAME = "sam_tiny.pth"
# pooch leaves the connection of a failed request to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


class FileServer(ThreadingHTTPServer):
    """Serves `body` under every path, the first answers with `statuses` or cut to `cuts` bytes, and counts requests."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.statuses: list[int] = []
        self.cuts: list[int] = []
        self.requests = 0
        self.before_answer: Callable[[], object] = lambda: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/models/{NAME}?download=true"


class Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        self.server.requests += 1
        self.server.before_answer()
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        content = self.server.body if status == 200 else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.cuts.pop(0)] if self.server.cuts else content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module", autouse=True)
def _collects_its_own() -> Iterator[None]:
    """What was there before is not looked through after each test, which would take longer than the test."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _direct_and_fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    yield
    gc.collect()


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


def assert_refused(server: FileServer, folder: Path, *parts: str) -> None:
    with pytest.raises(WeightsError) as caught:
        fetch(server.url, SHA256, folder)
    for part in (str(folder / NAME), "sam.weights=/path/to/file.pth", *parts):
        assert part in str(caught.value)


def test_download_makes_the_folder_and_asks_once(server: FileServer, tmp_path: Path) -> None:
    for _ in range(2):
        path = fetch(server.url, SHA256, tmp_path / "a" / "b")
        assert path == tmp_path / "a" / "b" / NAME
        assert path.read_bytes() == BODY
    assert files_of(path.parent) == {NAME}
    assert server.requests == 1


def test_a_cut_connection_and_a_busy_server_are_tried_again(server: FileServer, tmp_path: Path) -> None:
    server.statuses, server.cuts = [503], [0, 1000]
    assert fetch(server.url, SHA256, tmp_path).read_bytes() == BODY
    assert server.requests == 3


@pytest.mark.parametrize(("statuses", "cuts", "part"), [([404] * 9, [], "404"), ([], [1000] * 9, "cannot download")])
def test_tries_are_bounded(server: FileServer, tmp_path: Path, statuses: list[int], cuts: list[int], part: str) -> None:
    server.statuses, server.cuts = statuses, cuts
    assert_refused(server, tmp_path, part, server.url, "put the file there")
    assert server.requests == 4
    assert files_of(tmp_path) == set()


def test_a_wrong_download_is_refused_and_removed(server: FileServer, tmp_path: Path) -> None:
    server.body = BODY[:-1] + bytes([BODY[-1] ^ 1])
    assert_refused(server, tmp_path, SHA256, hashlib.sha256(server.body).hexdigest(), server.url)
    assert files_of(tmp_path) == set()


def test_a_file_put_there_by_hand_is_verified_and_kept(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(BODY)
    assert fetch(server.url, SHA256, tmp_path).read_bytes() == BODY
    (tmp_path / NAME).write_bytes(BODY[:-1])
    assert_refused(server, tmp_path, SHA256, hashlib.sha256(BODY[:-1]).hexdigest(), "delete the file to download")
    assert (tmp_path / NAME).read_bytes() == BODY[:-1]
    assert server.requests == 0


def test_without_a_connection(tmp_path: Path) -> None:
    with FileServer() as closed:
        pass
    assert_refused(closed, tmp_path, "refused", closed.url)


def test_cache_that_cannot_be_made(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_refused(server, tmp_path / "file" / "cache", "set paths.cache_dir to another folder")


def test_a_full_disk(server: FileServer, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(BODY) // 2, hard))
    try:
        assert_refused(server, tmp_path, "File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_of(tmp_path) == set()


def test_two_at_once_download_once(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both_came, comers = threading.Event(), []

    class CountingLock(FileLock):
        def acquire(self, *args: Any, **kwargs: Any) -> Any:
            comers.append(1)
            if len(comers) == 2:
                both_came.set()
            return super().acquire(*args, **kwargs)

    monkeypatch.setattr(weights, "FileLock", CountingLock)
    # the first download cannot end before the second caller stands at the lock
    server.before_answer = lambda: both_came.wait(timeout=PATIENCE)
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: fetch(server.url, SHA256, tmp_path), range(2)))
    assert both_came.is_set()
    assert [path.read_bytes() for path in paths] == [BODY, BODY]
    assert server.requests == 1


def test_the_cache_folder_may_be_at_home(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch(server.url, SHA256, Path("~/cache")) == tmp_path / "cache" / NAME


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
    with pytest.raises(WeightsError, match=r"damaged|empty file") as caught:
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
