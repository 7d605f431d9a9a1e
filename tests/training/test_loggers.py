"""W&B that does not answer leaves an offline run; a logger that fails leaves a warning; a resumed run keeps its id."""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import wandb
from lightning.pytorch.loggers import Logger

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.training.loggers import ID_FILE, RunCSVLogger, RunWandbLogger, finish_wandb

STATUS = {"refused key": 401, "forbidden": 403, "unknown": 404}


@contextmanager
def server(kind: str) -> Iterator[str]:
    """A W&B server that gives a status, hangs, closes every connection, or is not there."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if kind == "hangs":
                ended.wait(60)
            elif kind in STATUS:
                self.send_response(STATUS[kind])
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

        def log_message(self, *arguments: object) -> None:
            pass

    if kind == "is not there":
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            # bound and not listening: nobody else gets the port meanwhile
            yield f"http://127.0.0.1:{unused.getsockname()[1]}"
        return
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            ended.set()
            http.shutdown()


@pytest.fixture(autouse=True)
def own_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    yield
    wandb.teardown()


def online(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)


@pytest.mark.parametrize("kind", ["is not there", "hangs", "refused key", "forbidden", "unknown"])
def test_a_server_that_does_not_answer_leaves_an_offline_run(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with server(kind) as url:
        online(monkeypatch, url)
        logger = RunWandbLogger(str(tmp_path / "run"), "project", timeout=1)
        logger.log_hyperparams({"a": 1})
        logger.log_metrics({"loss": 0.125}, 3)
        logger.finalize("success")
        finish_wandb()
        # the file is written by W&B's own process, which ends here
        wandb.teardown()
    assert "W&B cannot be reached" in caplog.text
    assert "wandb sync" in caplog.text
    (offline,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    (log,) = offline.glob("*.wandb")
    assert b"loss" in log.read_bytes()
    assert "WANDB_MODE" not in os.environ, "the next trial tries again"


def test_a_run_that_must_be_online_ends_with_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with server("refused key") as url:
        online(monkeypatch, url)
        logger = RunWandbLogger(str(tmp_path), "project", timeout=1, require_online=True)
        with pytest.raises(ConfigError, match=r"logger\.wandb\.require_online: expected W&B to answer, got .*401"):
            logger.log_hyperparams({"a": 1})


@pytest.mark.parametrize("timeout", [0, -3, float("nan")])
def test_a_timeout_is_positive(tmp_path: Path, timeout: float) -> None:
    with pytest.raises(ConfigError, match=r"logger\.wandb\.timeout: expected a finite number > 0"):
        RunWandbLogger(str(tmp_path), "project", timeout=timeout)


def test_a_resumed_run_continues_its_wandb_run(tmp_path: Path) -> None:
    def begin(folder: Path, ckpt_path: Path | None = None) -> str:
        made = RunWandbLogger(str(folder), "project", ckpt_path=None if ckpt_path is None else str(ckpt_path))
        assert not (folder / ID_FILE).exists() or made.version
        made.log_hyperparams({"a": 1})
        finish_wandb()
        return made.experiment.id

    first = begin(tmp_path / "run")
    assert (tmp_path / "run" / ID_FILE).read_text().strip() == first
    assert begin(tmp_path / "run", tmp_path / "run" / "checkpoints" / "last.ckpt") == first
    assert begin(tmp_path / "elsewhere", tmp_path / "run" / "checkpoints" / "last.ckpt") == first
    assert begin(tmp_path / "other") != first


def test_nothing_is_written_before_the_run_begins(tmp_path: Path) -> None:
    """A command that is refused leaves the folder of an earlier run as it was."""
    RunWandbLogger(str(tmp_path), "project")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "../../x", "a b", "x" * 20 + "\n\n;rm"])
def test_an_id_file_that_holds_no_id_is_not_used(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / ID_FILE).write_text(text)
    assert RunWandbLogger(str(tmp_path), "project").version is None
    assert "expected the id of a W&B run" in caplog.text


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("service died"), KeyError("x")])
def test_a_logger_that_fails_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    logger: Logger = RunCSVLogger(str(tmp_path), "csv")

    def fail(*arguments: object) -> None:
        raise error

    logger.log_metrics({"loss": 1.0}, 0)
    with monkeypatch.context() as patched:
        patched.setattr(logger.experiment, "save", fail)
        patched.setattr(logger.experiment, "log_metrics", fail)
        with caplog.at_level(logging.WARNING):
            for step in range(3):
                logger.log_metrics({"loss": 2.0}, step)
                logger.save()
    assert caplog.text.count("logger.csv failed") == 1
    logger.log_metrics({"loss": 3.0}, 4)
    logger.save()
    assert "3.0" in (tmp_path / "csv" / "version_0" / "metrics.csv").read_text()
