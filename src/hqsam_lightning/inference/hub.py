"""Models on the Hugging Face Hub, by `huggingface_hub`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi, hf_hub_download, snapshot_download

from hqsam_lightning.errors import WeightsError
from hqsam_lightning.storage.files import file_sha256
from hqsam_lightning.storage.hub import DIGEST, FAILURES, hub_error

if TYPE_CHECKING:
    from hqsam_lightning.inference.model import HQSam

UPLOAD_FAILURES: tuple[type[Exception], ...] = (*FAILURES, RuntimeError)
"""A file that is not taken is a RuntimeError."""
FILES = ("config.json", "model.safetensors", "README.md")


def download_file(repository: str, name: str, revision: str | None, cache_dir: str | Path | None) -> Path:
    """Downloads a file once, and compares it with the SHA-256 that the Hub keeps of large files.

    Args:
        repository: ``ORG/NAME``.
        name: of the file.
        revision: branch, tag or commit; None is the repository's main branch.
        cache_dir: None is huggingface_hub's own.

    Raises:
        WeightsError: it cannot be downloaded, or is damaged.
    """
    try:
        path = Path(hf_hub_download(repository, name, revision=revision, cache_dir=cache_dir))
    except FAILURES as cause:
        raise hub_error(f"{repository}/{name}", cause, WeightsError) from cause
    digest = path.resolve().name
    if DIGEST.fullmatch(digest) and file_sha256(path) != digest:
        raise WeightsError(f"{path}: expected SHA-256 {digest}, as the Hub says; delete the file to download it again")
    return path


def download_folder(repository: str, revision: str | None, cache_dir: str | Path | None) -> Path:
    """Downloads a model's folder; without a network, the one that was downloaded before.

    Raises:
        WeightsError: it cannot be downloaded, or there is no model in it.
    """
    try:
        folder = Path(snapshot_download(repository, revision=revision, cache_dir=cache_dir, allow_patterns=list(FILES)))
    except FAILURES as cause:
        raise hub_error(repository, cause, WeightsError) from cause
    missing = [name for name in FILES[:2] if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"{repository}: expected a repository with {FILES[0]} and {FILES[1]}, as push_to_hub writes it; "
            f"{' and '.join(missing)} not found in it"
        )
    return folder


def upload(model: HQSam, repository: str, **options: Any) -> str:
    """Creates a repository if there is none, and uploads a model's folder; see `HQSam.push_to_hub`.

    Raises:
        WeightsError: the Hub refuses it or cannot be reached.
    """
    api = HfApi(token=options.pop("token", None))
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        try:
            api.create_repo(repository, exist_ok=True, **options)
            return str(api.upload_folder(repo_id=repository, folder_path=folder))
        except UPLOAD_FAILURES as cause:
            raise hub_error(repository, cause, WeightsError) from cause
