"""Lays out pictures for pretraining: `make pictures` calls it with the folder of the unpacked packages and another."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from hqsam_lightning.errors import HQSamError
from hqsam_lightning.pretraining.pictures.laying_out import copy_pictures, render_pictures


def main() -> None:
    """Entry point of the command line."""
    parser = argparse.ArgumentParser(prog="python -m hqsam_lightning.pretraining.pictures")
    parser.add_argument("packages", type=Path, help="folder of the unpacked packages, each in a folder of its name")
    parser.add_argument("out", type=Path, help="folder that gets cutouts/ and backgrounds/")
    places = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # needs VTK, which `make pictures` installs
    from hqsam_lightning.pretraining.pictures.rendering import render_views

    try:
        copy_pictures(places.packages, places.out)
        render_pictures(places.packages, places.out, render_views)
    except HQSamError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
