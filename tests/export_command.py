"""Runs the export command in this process."""

import sys

import pytest

from hqsam_lightning.cli import run_hydra
from hqsam_lightning.export.__main__ import main


def run_export(*arguments: str) -> None:
    """As `python -m hqsam_lightning.export` does; a failure is SystemExit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["export", *arguments])
        run_hydra(main, "export")
