"""Which code ran: facts that numbers mean nothing without, for whatever writes numbers."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hqsam_lightning import __version__


def version_facts() -> dict[str, Any]:
    """Versions of this package and of torch; the commit where the code runs from a checkout."""
    commit = source_commit()
    return {"hqsam_lightning": __version__, **({"commit": commit} if commit else {}), "torch": version("torch")}


def source_commit(file: Path = Path(__file__)) -> str | None:
    """Commit of the checkout that holds the file, "-dirty" where it has changes; None where git does not track it."""
    if _git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        return None
    return _git(file.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str | None:
    # the lock is for the user's own git commands: these only read
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(folder), *arguments]
    try:
        result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
