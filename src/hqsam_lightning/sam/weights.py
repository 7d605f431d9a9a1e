"""Published weights files: fetched once, resumed where a connection was cut, verified, and kept in a cache folder."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import unquote, urlsplit

import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from hqsam_lightning.errors import WeightsError
from hqsam_lightning.storage.files import file_sha256

log = logging.getLogger(__name__)

_TRIES = 5
_BACKOFF_S = 1.0
_TIMEOUT_S = (15.0, 60.0)  # to connect, between two packets
_CHUNK = 64 * 1024
_OWN_FILE = "set sam.weights=/path/to/file.pth"
_TRANSIENT = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


@dataclass(frozen=True)
class PublishedWeights:
    """A weights file on the web.

    Attributes:
        url: where it lies; the last part of its path is the file's name in the cache.
        sha256: lower-case hex digest of the file.
        size: bytes, where published.
    """

    url: str
    sha256: str
    size: int | None = None


def fetch(published: PublishedWeights, cache_dir: Path) -> Path:
    """Downloads a weights file unless it is in the cache, and verifies it either way.

    Safe to call from several processes at once: one downloads, the others wait for it.

    Args:
        published: the file to get.
        cache_dir: folder to keep it in; made where missing; ``~`` is expanded.

    Returns:
        The path of the verified file.

    Raises:
        WeightsError: it cannot be downloaded or stored, or the file is not the published one.
    """
    cache_dir = cache_dir.expanduser()
    target = cache_dir / PurePosixPath(unquote(urlsplit(published.url).path)).name
    try:
        if not target.is_file():
            cache_dir.mkdir(parents=True, exist_ok=True)
            with _locked(_beside(target, ".lock")):
                if not target.is_file():
                    _download(published, target)
        _verify_cached(published, target)
    except OSError as error:
        kept = f"; what was downloaded is kept in {part.name}" if (part := _beside(target, ".part")).exists() else ""
        remedy = f"make room or the folder writable and run again, choose another cache folder, or {_OWN_FILE}"
        raise WeightsError(f"{target}: cannot be stored ({error}){kept}; {remedy}") from error
    return target


def _download(published: PublishedWeights, target: Path) -> None:
    """Downloads, verifies and only then publishes the file; the caller holds the lock."""
    part = _beside(target, ".part")
    is_continued = part.exists()
    _transfer_with_retries(published, target)
    mismatch = _mismatch(published, part)
    if mismatch and is_continued:
        # an earlier run's part may be damaged, or of another release: begin anew, once
        part.unlink()
        _transfer_with_retries(published, target)
        mismatch = _mismatch(published, part)
    if mismatch:
        part.unlink()
        remedy = f"the download was removed: try again later, put the right file there, or {_OWN_FILE}"
        raise WeightsError(f"{target}: {mismatch} from {published.url}; {remedy}")
    os.replace(part, target)
    _remember(published, target)


def _transfer_with_retries(published: PublishedWeights, target: Path) -> None:
    """Downloads to the ``.part`` file, beginning where it ends; a cut connection is taken up again."""
    part = _beside(target, ".part")
    for tries_left in reversed(range(_TRIES)):
        try:
            return _transfer(published, part)
        except requests.RequestException as error:
            if tries_left and _is_transient(error):
                time.sleep(_BACKOFF_S * 2 ** (_TRIES - 1 - tries_left))
                continue
            remedy = f"put the file there yourself, or {_OWN_FILE}"
            raise WeightsError(f"{target}: cannot download {published.url}: {error}; {remedy}") from error


def _is_transient(error: requests.RequestException) -> bool:
    if error.response is not None:
        return error.response.status_code >= 500
    return isinstance(error, _TRANSIENT)


def _transfer(published: PublishedWeights, part: Path) -> None:
    """Makes one request for what the ``.part`` file lacks; a server that cannot continue it sends the whole."""
    done = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    with requests.get(published.url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
        if done and response.status_code == requests.codes.requested_range_not_satisfiable:
            if _mismatch(published, part) is None:
                return
            part.unlink()
            raise requests.ConnectionError(f"no bytes after {done} to continue with")
        response.raise_for_status()
        is_continued = response.status_code == requests.codes.partial_content
        done = done if is_continued else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else published.size
        with part.open("ab" if is_continued else "wb") as file, _progress() as progress:
            task = progress.add_task(part.stem, total=total, completed=done)
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                progress.advance(task, len(chunk))
            done = file.tell()
    if total is not None and done < total:  # urllib3 before 2.0 does not raise
        raise requests.ConnectionError(f"connection closed after {done} of {total} bytes")


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    return Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True))


def _verify_cached(published: PublishedWeights, target: Path) -> None:
    """Verifies a file in the cache; hashes it only where it changed since it was last verified."""
    with suppress(FileNotFoundError):
        if _beside(target, ".verified").read_bytes() == _stamp(published, target):
            return
    if mismatch := _mismatch(published, target):
        raise WeightsError(f"{target}: {mismatch}; delete the file to download it again, or {_OWN_FILE}")
    _remember(published, target)


def _remember(published: PublishedWeights, target: Path) -> None:
    """Notes that the file is verified; in a cache that is read-only, it is hashed at every start."""
    with suppress(OSError):
        _beside(target, ".verified").write_bytes(_stamp(published, target))


def _stamp(published: PublishedWeights, path: Path) -> bytes:
    stat = path.stat()
    return json.dumps({"sha256": published.sha256, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}).encode()


def _mismatch(published: PublishedWeights, path: Path) -> str | None:
    """Says how a file differs from the published one; None where it does not."""
    size, sha256 = path.stat().st_size, file_sha256(path)
    if sha256 == published.sha256 and published.size in (None, size):
        return None
    expected_size = "" if published.size is None else f" ({published.size} bytes)"
    return f"expected SHA-256 {published.sha256}{expected_size}, got {sha256} ({size} bytes)"


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(target.name + suffix)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds a lock among processes and threads; closing the file, or dying, lets it go."""
    with path.open("a") as file:
        _wait_for_lock(file)
        yield


def _wait_for_lock(file: IO[str]) -> None:
    try:
        import fcntl
    except ImportError:
        log.warning("%s: no file locks here; let one process alone download", file.name)
        return
    fcntl.flock(file, fcntl.LOCK_EX)
