"""Models on the Hugging Face Hub, by `huggingface_hub`."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from hqsam_lightning.errors import WeightsError
from hqsam_lightning.storage.files import file_sha256

if TYPE_CHECKING:
    from hqsam_lightning.inference.model import HQSam

DIGEST = re.compile(r"[0-9a-f]{64}")
FAILURES = (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError)
"""What huggingface_hub raises; a name that it refuses is a ValueError."""


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
        raise _unreachable(f"{repository}/{name}", cause) from cause
    digest = path.resolve().name
    if DIGEST.fullmatch(digest) and file_sha256(path) != digest:
        raise WeightsError(f"{path}: expected SHA-256 {digest}, as the Hub says; delete the file to download it again")
    return path


def download_folder(repository: str, revision: str | None, cache_dir: str | Path | None) -> Path:
    """Downloads a model's folder.

    Raises:
        WeightsError: it cannot be downloaded.
    """
    patterns = ["config.json", "model.safetensors", "README.md"]
    try:
        return Path(snapshot_download(repository, revision=revision, cache_dir=cache_dir, allow_patterns=patterns))
    except FAILURES as cause:
        raise _unreachable(repository, cause) from cause


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
        except FAILURES as cause:
            raise _unreachable(repository, cause) from cause


def _unreachable(what: str, cause: Exception) -> WeightsError:
    reason = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    return WeightsError(
        f"{what}: the Hugging Face Hub did not give or take it: {reason}; check the name and the network, or log in "
        "with `hf auth login`"
    )
