"""Published weights files: downloaded once, verified, and kept in a cache folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pooch
from filelock import FileLock

from hqsam_lightning.errors import WeightsError
from hqsam_lightning.storage.files import file_sha256

RETRIES = 3
TIMEOUT_S = 60
"""Until the server answers, and between two packets."""


def fetch(url: str, sha256: str, cache_dir: Path) -> Path:
    """Downloads a weights file unless it is in the cache, and verifies it either way.

    Processes may call it at once: one downloads, the others wait. An interrupted download leaves no file.

    Args:
        url: of the file; the last part of its path is the file's name in the cache.
        sha256: lower-case hex digest of the file.
        cache_dir: created if missing; ``~`` is expanded.

    Returns:
        Path of the verified file.

    Raises:
        WeightsError: the file cannot be downloaded or stored, or is not the published one.
    """
    target = cache_dir.expanduser() / PurePosixPath(unquote(urlsplit(url).path)).name
    try:
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(target.with_name(f"{target.name}.lock")):
                if not target.is_file():
                    _download(url, sha256, target)
                    return target
        found = file_sha256(target)
    except (OSError, ValueError) as error:  # requests raises OSErrors, pooch a ValueError for another hash
        raise WeightsError(
            f"{target}: cannot download {url}: {error}; run again, put the file there yourself, set paths.cache_dir to "
            "another folder, or set sam.weights=/path/to/file.pth"
        ) from error
    if found != sha256:
        raise WeightsError(
            f"{target}: expected SHA-256 {sha256}, got {found}; delete the file to download it again, "
            "or set sam.weights=/path/to/file.pth"
        )
    return target


def _download(url: str, sha256: str, target: Path) -> None:
    registry = {target.name: f"sha256:{sha256}"}
    files = pooch.create(
        target.parent, base_url="", registry=registry, urls={target.name: url}, retry_if_failed=RETRIES
    )
    files.fetch(target.name, downloader=pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT_S))
