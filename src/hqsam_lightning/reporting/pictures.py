"""Pictures of reports: drawn here, or left by a run; what is not a sound PNG file is left out with a warning."""

from __future__ import annotations

import io
import logging
import stat
import warnings
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from hqsam_lightning.escaping import plain_text
from hqsam_lightning.runtime.decoration import decoration
from hqsam_lightning.storage.files import UNREADABLE

log = logging.getLogger(__name__)

DPI = 120
LARGEST_BYTES = 32 * 2**20
MOST_PIXELS = 60_000_000
LONGEST_LABEL = 60
NO_PICTURE: tuple[type[Exception], ...] = (*UNREADABLE, Warning)


def read_picture(path: Path) -> bytes | None:
    """The bytes of a PNG file that a run left, to be embedded into a page.

    A link could bring any file of the machine into the page: it is left out. None where there is no sound picture,
    which is logged unless the file is absent.
    """
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is a link or no regular file")
        if status.st_size > LARGEST_BYTES:
            raise ValueError(f"it has {status.st_size} bytes, more than {LARGEST_BYTES}")
        content = path.read_bytes()
        _verify(content)
    except FileNotFoundError:
        return None
    except NO_PICTURE as error:
        log.warning("%s: expected a picture (PNG), left out of the report: %s", path, error)
        return None
    return content


def draw_picture(name: str, draw: Callable[[], Figure]) -> bytes | None:
    """The bytes of a plot as PNG; None where drawing failed, which is logged: the numbers do not wait for the plots."""
    with decoration(f"{name}, a plot of the report,"):
        figure = draw()
        width, height = figure.get_size_inches() * DPI
        if width * height > MOST_PIXELS:
            raise ValueError(f"{width:.0f} x {height:.0f} pixels are more than {MOST_PIXELS}")
        file = io.BytesIO()
        with warnings.catch_warnings():
            # names in other scripts show as boxes
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            figure.savefig(file, dpi=DPI, format="png")
        return file.getvalue()
    return None


def plot_label(text: str) -> str:
    """A name as Matplotlib shows it as it is: no mathematics, not hidden, and of a length that fits."""
    short = text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 3]}..."
    label = plain_text(short)
    # legends leave out labels that begin with an underscore
    return f" {label}" if label.startswith("_") else label


def _verify(content: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            image.verify()
