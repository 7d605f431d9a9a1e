"""Files of repositories on the Hugging Face Hub: listed, downloaded in as many attempts as it takes, and verified."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple, cast

from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import build_hf_headers

from hqsam_lightning.errors import HQSamError
from hqsam_lightning.storage.files import DISK_ERRORS, file_sha256, storage_error, writing

DIGEST = re.compile(r"[0-9a-f]{64}")
CLIENT_FAILURES = cast(tuple[type[Exception], ...], HfHubHTTPError.__bases__)
FAILURES: tuple[type[Exception], ...] = (*CLIENT_FAILURES, LocalEntryNotFoundError, OSError, ValueError)
"""What huggingface_hub raises: errors of its HTTP client, which differs between its versions, pass through it, and a
name that it refuses is a ValueError."""
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN, as somebody who may use it"
REMEDIES = {401: LOG_IN, 403: LOG_IN, 404: f"check the name and the revision; if it is private, {LOG_IN}"}
"""By HTTP status."""


class RemoteFile(NamedTuple):
    """A file of a repository.

    Attributes:
        path: in the repository.
        size: in bytes.
        sha256: lower-case hex digest that the Hub keeps of large files.
    """

    path: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]


def hub_error(what: str, cause: Exception, error: type[HQSamError]) -> HQSamError:
    """The error, of the class `error`, for what the Hub did not give or take, with its remedy."""
    # a RuntimeError names the file that was not taken, and its cause says why
    told = f"{cause}\n{cause.__cause__}" if isinstance(cause, RuntimeError) else str(cause)
    lines = [line.strip() for line in told.splitlines() if line.strip()] or [type(cause).__name__]
    response = getattr(cause, "response", None)
    remedy = REMEDIES.get(getattr(response, "status_code", 0), "check the name and the network, and try again")
    return error(f"{what}: the Hugging Face Hub did not give or take it: {' '.join(lines[:2])}; {remedy}")


def commit_of(repository: str, revision: str, error: type[HQSamError]) -> str:
    """The commit that a branch, tag or abbreviated commit of a repository stands for.

    Raises:
        HQSamError: of the class `error`, where there is none or the Hub cannot be reached.
    """
    try:
        return str(HfApi(endpoint=constants.ENDPOINT).model_info(repository, revision=revision).sha)
    except FAILURES as cause:
        raise hub_error(f"{repository}, revision {revision}", cause, error) from cause


def list_files(repository: str, commit: str, folder: str, error: type[HQSamError]) -> list[RemoteFile]:
    """The large files in a folder of a repository, and in its subfolders.

    Raises:
        HQSamError: of the class `error`, where the Hub does not list them.
    """
    try:
        tree = HfApi(endpoint=constants.ENDPOINT).list_repo_tree(repository, folder, recursive=True, revision=commit)
        files = [each for each in tree if isinstance(each, RepoFile) and each.lfs is not None]
    except FAILURES as cause:
        raise hub_error(f"{repository}/{folder}", cause, error) from cause
    return [RemoteFile(each.path, each.lfs.size, each.lfs.sha256) for each in files if each.lfs is not None]


def downloaded_bytes(file: RemoteFile, folder: Path) -> int:
    """How much of a file is in the folder already, from an attempt that was interrupted too."""
    paths = [path for path in (folder / file.name, _partial(file, folder)) if path.is_file()]
    return min(file.size, paths[0].stat().st_size) if paths else 0


def fetch(repository: str, commit: str, file: RemoteFile, folder: Path, error: type[HQSamError]) -> Path:
    """Downloads a file into a folder unless it is there, and compares its SHA-256 with the Hub's either way.

    An interrupted download goes on where it was, in the next call too: huggingface_hub itself begins again. Only one
    process may write the folder.

    Raises:
        HQSamError: of the class `error`, where the Hub does not give the file, or what it gave is damaged.
        StorageError: the folder cannot be written.
    """
    target, partial = folder / file.name, _partial(file, folder)
    with writing(target):
        folder.mkdir(parents=True, exist_ok=True)
    if target.is_file():
        _verify(file, target, error, "delete the file to download it again")
        return target
    _download(repository, commit, file, partial, error)
    try:
        _verify(file, partial, error, "run the same command to download it again")
    except error:
        partial.unlink()
        raise
    with writing(target):
        os.replace(partial, target)
    return target


def _partial(file: RemoteFile, folder: Path) -> Path:
    """Where an unfinished download is: another content of the same name is another file."""
    return folder / f".{file.name}.{file.sha256[:16]}.part"


def _download(repository: str, commit: str, file: RemoteFile, partial: Path, error: type[HQSamError]) -> None:
    with writing(partial):
        content = partial.open("ab")
    with content:
        if content.tell() > file.size:
            content.truncate(0)
        url = hf_hub_url(repository, file.path, revision=commit, endpoint=constants.ENDPOINT)
        try:
            http_get(
                url,
                content,
                resume_size=content.tell(),
                headers=build_hf_headers(),
                expected_size=file.size,
                displayed_filename=file.name,
            )
        except FAILURES as cause:
            if isinstance(cause, OSError) and cause.errno in DISK_ERRORS:
                raise storage_error(partial, cause) from cause
            raise hub_error(f"{repository}/{file.path}", cause, error) from cause


def _verify(file: RemoteFile, path: Path, error: type[HQSamError], remedy: str) -> None:
    found = file_sha256(path)
    if found != file.sha256:
        raise error(f"{path}: expected SHA-256 {file.sha256}, as the Hub says of {file.path}; got {found}; {remedy}")
