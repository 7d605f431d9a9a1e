"""Whether photos are read as stored or turned by their EXIF orientation: an explicit choice for annotated sets."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hqsam_lightning.data.problems import shown
from hqsam_lightning.data.reading import image_frame
from hqsam_lightning.errors import ConfigError, DataError, choice_error

EXIF = ("apply", "ignore")

# a header costs a round trip to the disk
_THREADS = 16
_NAMED = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Frame:
    """How a photo is stored, by its header.

    Attributes:
        height: of the stored pixels.
        width: of the stored pixels.
        orientation: EXIF's, 1 to 8; 1 is shown as stored.
    """

    height: int
    width: int
    orientation: int

    def size(self, exif: bool) -> tuple[int, int]:
        """(height, width) as read; with exif, of the turned photo."""
        turned = exif and self.orientation >= 5
        return (self.width, self.height) if turned else (self.height, self.width)

    def fits(self, size: tuple[int, int] | None) -> str | None:
        """Which choice an annotated (height, width) is for; None where it does not decide."""
        stored, turned = self.size(False), self.size(True)
        if stored == turned or size not in (stored, turned):
            return None
        return "apply" if size == turned else "ignore"


def read_frames(photos: Sequence[Path]) -> list[Frame | str]:
    """Reads the photos' headers; gives a description of the problem instead of one that cannot be read."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(_read_frame, photos))


def decide_exif(exif: str | None, turned: Sequence[tuple[str, Frame, tuple[int, int] | None]]) -> bool:
    """Decides whether photos are turned by their EXIF orientation.

    Args:
        exif: the value of ``data.exif``; None leaves the choice to the annotated sizes where all of them decide it,
            which those of photos turned by 180 degrees, or mirrored, never do.
        turned: name, frame and annotated size of each photo whose orientation is not 1.

    Returns:
        Whether to apply it; also True where no photo has one.

    Raises:
        ConfigError: the value is unknown, or nothing decides.
    """
    if exif is not None and exif not in EXIF:
        raise choice_error("data.exif", exif, (*EXIF, "null"))
    if not turned:
        return True
    votes = Counter(frame.fits(size) for _, frame, size in turned)
    if exif is None and len(votes) == 1 and None not in votes:
        (exif,) = votes
        log.info(
            "data.exif=%s: the annotated sizes of all %d photos with an EXIF orientation fit it", exif, len(turned)
        )
    if exif is None:
        named = ", ".join(f"{shown(name)} ({frame.orientation})" for name, frame, _ in turned[:_NAMED])
        raise ConfigError(
            f"data.exif: expected apply or ignore, got null; {len(turned)} photo(s) have an EXIF orientation, "
            f"e.g. {named}; set apply if the annotations were made on photos as viewers show them, ignore if on the "
            "pixels as stored (OpenCV with IMREAD_IGNORE_ORIENTATION, or Pillow without exif_transpose); the "
            f"annotated sizes fit apply for {votes['apply']} of them, ignore for {votes['ignore']}"
        )
    log.info("data.exif=%s: %d photo(s) have an EXIF orientation", exif, len(turned))
    return exif == "apply"


def _read_frame(photo: Path) -> Frame | str:
    try:
        return Frame(*image_frame(photo))
    except DataError as error:
        return str(error)
